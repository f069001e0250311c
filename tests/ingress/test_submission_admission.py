"""Who may hand in by SMTP, and what a wrong key costs."""

from hypothesis import given
from hypothesis import strategies as st

from postroom.ingress.submission.admission import WrongKeys


def test_each_wrong_key_costs_more() -> None:
    """The delay doubles up to 16 seconds, and a minute forgives one."""
    keys = WrongKeys()
    assert [1.0, 2.0, 4.0, 8.0, 16.0, 16.0] == [keys.delay_s("192.0.2.1", 0.0) for _ in range(6)]
    assert 8.0 == keys.delay_s("192.0.2.1", 180.0)
    assert 1.0 == keys.delay_s("192.0.2.1", 3600.0)
    assert 1.0 == keys.delay_s("192.0.2.2", 0.0)


def test_thousands_of_wrong_keys_cost_no_more_than_ten() -> None:
    """A guesser that goes on for hours is answered as before, and its address is forgiven in minutes."""
    keys = WrongKeys()
    assert {16.0} == {keys.delay_s("192.0.2.1", 0.0) for _ in range(5000)} - {1.0, 2.0, 4.0, 8.0}
    assert 1.0 == keys.delay_s("192.0.2.1", 601.0)


def test_one_ipv6_host_has_many_addresses() -> None:
    """Addresses of one network of 64 bits count together, others do not."""
    keys = WrongKeys()
    delays = [keys.delay_s(peer, 0.0) for peer in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")]
    assert [1.0, 2.0, 1.0] == delays


@given(st.lists(st.tuples(st.ip_addresses().map(str), st.floats(0, 1e6)), max_size=50))
def test_the_delay_is_bounded(tries: list[tuple[str, float]]) -> None:
    """Whatever comes when, an answer waits one to sixteen seconds."""
    keys = WrongKeys()
    assert all(
        1.0 <= keys.delay_s(peer, at_s) <= 16.0 for peer, at_s in sorted(tries, key=lambda one: one[1])
    )


def test_the_memory_of_wrong_keys_is_bounded() -> None:
    """A flood from many addresses is remembered for the latest of them only."""
    keys = WrongKeys()
    for number in range(10_000):
        keys.delay_s(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert 4096 == len(keys._seen)
