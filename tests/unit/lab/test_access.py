"""Where the lab's commands find a lab in containers: what its ``.env`` says, in a form that can be used."""

from sqlalchemy.engine import make_url

from embedded.environment import settings
from lab.access import of_compose
from scenarios.stage import Stage

ENV = {
    "POSTGRES_PORT": "15432",
    "POSTGRES_PASSWORD": "p@ss/word",
    "EXAMINER_DB_PASSWORD": "e:x#1",
    "CANDIDATE_DB_PASSWORD": "c?d",
}


def test_the_databases_roles_are_reached_with_the_passwords_of_the_environment() -> None:
    lab = of_compose(settings(ENV))

    found = {}
    for given in (lab.reader_url, lab.superuser_url, lab.candidate_url):
        assert given is not None
        url = make_url(given)
        assert (url.get_driver_name(), url.host, url.port, url.database) == (
            "psycopg2",
            "127.0.0.1",
            15432,
            "firedrill",
        )
        found[url.username] = url.password
    assert found == {"examiner": "e:x#1", "postgres": "p@ss/word", "candidate": "c?d"}


def test_its_faults_are_played_with_them() -> None:
    assert Stage(of_compose(settings(ENV))).lab.reader_url


def test_without_the_superusers_password_nobody_is_the_superuser() -> None:
    assert of_compose(settings({"POSTGRES_PASSWORD": ""})).superuser_url is None
