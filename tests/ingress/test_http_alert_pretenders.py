"""Nobody reports in Postroom's own name."""

from ingress.alert_doors_room import AlertDoorsRoom, on_doors

OWN = {"key": "postroom.transport-down", "source": "postroom", "object": "main", "state": "firing"}


def test_nobody_reports_in_postrooms_own_name() -> None:
    """Such alerts choose how letters go and end Postroom's own ones: refused, with every place."""

    async def scenario(room: AlertDoorsRoom) -> None:
        answer = await room.ask("POST", "/v1/alerts", [{"key": "a"}, OWN, {**OWN, "state": "resolved"}])
        assert (422, [("alert-value", "alerts.1.key"), ("alert-value", "alerts.2.key")]) == (
            answer.status,
            answer.problems(),
        )
        event = {"specversion": "1.0", "type": OWN["key"], "source": "postroom", "id": "1"}
        headers = {"content-type": "application/cloudevents+json"}
        assert 422 == (await room.ask("POST", "/v1/alerts/cloudevents", event, headers=headers)).status
        assert [] == (await room.ask("GET", "/v1/alerts/events")).json()["events"]

    on_doors(scenario)


def test_a_host_of_that_name_chooses_no_way() -> None:
    """Its alerts are anybody's: a label of theirs keeps no letter from a transport."""

    async def scenario(room: AlertDoorsRoom) -> None:
        await room.report({"key": "cpu", "source": "postroom", "labels": {"transport": "main"}})
        assert [()] == [one.avoid for one in await room.letters()]

    on_doors(scenario)
