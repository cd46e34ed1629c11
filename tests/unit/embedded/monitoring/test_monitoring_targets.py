"""Which services are scraped, and where."""

from embedded.monitoring.targets import targets
from services.common.catalog import SERVICES


def test_every_service_of_the_catalog_is_scraped_at_its_port() -> None:
    found = {target.job: target.url for target in targets({})}

    assert found == {service.name: f"http://127.0.0.1:{service.port}/metrics" for service in SERVICES}


def test_the_load_is_scraped_where_there_is_one() -> None:
    found = {target.job: target.url for target in targets({"TRAFFIC_GENERATOR_URL": "http://load:8089"})}

    assert found["traffic-generator"] == "http://load:8089/metrics"


def test_a_service_is_scraped_where_the_environment_says_that_it_is() -> None:
    found = {target.job: target for target in targets({"PAYMENT_URL": "http://payment:9999/"})}

    assert found["payment"].url == "http://payment:9999/metrics"
    assert found["payment"].labels == {"job": "payment", "instance": "payment:9999"}


def test_a_name_of_the_labs_own_dns_is_not_asked_for() -> None:
    environment = {"FRAUD_URL": "http://fraud-api.internal.corp:8444"}
    found = {target.job: target.url for target in targets(environment)}

    assert found["fraud"] == "http://127.0.0.1:8444/metrics"
