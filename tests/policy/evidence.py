"""Evidence for the tests of policy: as servers give it, and anything at all."""

from hypothesis import strategies as st

from postroom.model.outcome import Evidence, Fault, FaultKind
from postroom.model.reply import Reply
from postroom.model.step import Step


def replied(
    step: Step, code: int, text: str = "x", *, host: str = "mx.example.com", port: int = 587
) -> Evidence:
    return Evidence(step=step, reply=Reply(code, (text,), b""), host=host, port=port)


def failed(step: Step, kind: FaultKind, text: str = "x", cause: str | None = None) -> Evidence:
    fault = Fault(kind=kind, text=text, cause=cause)
    return Evidence(step=step, fault=fault, host="mx.example.com", port=587)


EVIDENCE = st.builds(
    lambda step, answer, host, port: Evidence(
        step=step,
        reply=answer if isinstance(answer, Reply) else None,
        fault=answer if isinstance(answer, Fault) else None,
        host=host,
        port=port,
    ),
    st.sampled_from(Step),
    st.none()
    | st.builds(
        Reply,
        st.integers(200, 599),
        st.lists(st.text(max_size=60), min_size=1, max_size=3).map(tuple),
        st.just(b""),
    )
    | st.builds(
        Fault,
        kind=st.sampled_from(FaultKind),
        text=st.text(max_size=60),
        cause=st.none() | st.sampled_from(["size", "nobody-knows", "tls-on-plain", "conn-lost-body"]),
    ),
    st.sampled_from(["smtp.qq.com", "smtp.gmail.com", "smtp.163.com", "mx.example.com", ""]),
    st.sampled_from([0, 25, 465, 587]),
)
