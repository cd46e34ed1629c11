"""The lab that runs here, for commands that judge and break it."""

from dataclasses import replace

from embedded import state
from embedded.environment import Settings, lab_database_url, role_passwords, role_url
from embedded.postgres import Server
from scenarios.access import LabAccess, from_environment


def of_embedded(lab: Settings) -> LabAccess | None:
    """The lab of this folder, with its database's superuser; ``None`` if it does not run."""
    written = state.of_runner(lab.directory)
    if written is None:
        return None
    urls = {one.name: one.url for one in written.components if one.url.startswith("http")}
    admin_url = lab.external_database or _own_server(lab, written)
    superuser_url = lab_database_url(admin_url)
    return replace(
        from_environment(lab.user),
        urls={**from_environment(lab.user).urls, **urls},
        reader_url=superuser_url,
        superuser_url=superuser_url,
        candidate_url=role_url(admin_url, role="candidate", password=role_passwords(lab.user)["candidate"]),
        fraud_address=lab.host,
        pids={one.name: one.pid for one in written.components if one.pid},
    )


def of_compose(lab: Settings) -> LabAccess:
    """The lab in containers whose ports are published here, under the names and passwords of ``.env``."""
    user = lab.user
    superuser = user.get("POSTGRES_PASSWORD")
    published = {name: value for name, value in user.items() if not name.endswith("_URL")}

    def url(role: str, password: str) -> str:
        server = f"postgresql+psycopg2://{lab.host}:{lab.postgres_port}"
        return role_url(server, role=role, password=password)

    return replace(
        from_environment(published),
        reader_url=url("examiner", user.get("EXAMINER_DB_PASSWORD") or "examiner"),
        superuser_url=url("postgres", superuser) if superuser else None,
        candidate_url=url("candidate", user.get("CANDIDATE_DB_PASSWORD") or "candidate"),
    )


def _own_server(lab: Settings, written: state.LabState) -> str:
    """The superuser's URL of the server that runs, whatever this shell's ``POSTGRES_PORT`` says."""
    url = next(one.url for one in written.components if one.name == "postgres")
    port = int(url.rpartition(":")[2].partition("/")[0])
    return Server(lab.directory / "postgres", port=port, bind=lab.bind).url()
