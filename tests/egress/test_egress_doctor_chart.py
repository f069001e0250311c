"""The chart of a check: what is told of stages that nobody came to."""

from peers.manual import ManualClock
from postroom.egress.doctor.chart import DIALOGUE, Chart
from postroom.model.checkup import Checkup, Stage, StageStatus
from postroom.policy.doctor_records import RECORDS
from postroom.policy.doctoring import passed

UNTIL_TLS = DIALOGUE[: DIALOGUE.index(Stage.TLS)]


def charted(done: tuple[Stage, ...], *, is_cut: bool = True) -> Checkup:
    chart = Chart(ManualClock(), 1.0)
    for stage in done:
        chart.note(passed(stage, "well"))
    if is_cut:
        chart.note_cut()
    return Checkup(target="x", stages=tuple(chart.stages((*DIALOGUE, *RECORDS))))


def test_a_check_that_was_cut_is_not_well() -> None:
    """The first stage of the dialogue that was not reached is the failure; the others are skipped."""
    checkup = charted(UNTIL_TLS)
    failed = checkup.first_failed
    assert failed is not None
    assert (Stage.TLS, "check-cut") == (failed.stage, failed.cause)
    rest = [one.status for one in checkup.stages if one.stage not in {*UNTIL_TLS, Stage.TLS}]
    assert {StageStatus.SKIPPED} == set(rest)


def test_records_that_were_cut_are_no_failure() -> None:
    """When the dialogue went through, the account works."""
    assert charted(DIALOGUE).ok


def test_what_was_not_reached_is_skipped() -> None:
    """Without a cut there is a reason for it elsewhere."""
    assert charted(UNTIL_TLS, is_cut=False).ok
