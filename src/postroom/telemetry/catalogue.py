"""Every metric there is; ``docs/metrics.md`` is drawn from this file.

Rules: a name says its unit; labels have few values, known when the settings are (a state, a transport, a
code of a table), never an address, an id or a text of a peer. Counters are added to where the thing happens,
gauges are filled when somebody looks (``exposition.Scrape``).
"""

from postroom.telemetry.tallies import Counter, Gauge, Histogram, Metric

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds, for what a caller waits for."""
_LONG = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
"""Seconds, for what may take as long as a server or a queue likes."""

# ---------------------------------------------------------------------- mail

ACCEPTED = Counter(
    "postroom_messages_accepted_total",
    "Messages stored and promised to be sent.",
    labels={"door": "how it was handed in", "class": "mail class"},
)
REPLAYED = Counter(
    "postroom_messages_replayed_total",
    "Submissions whose idempotency key was known: the earlier message was the answer.",
    labels={"door": "how it was handed in"},
)
REFUSED = Counter(
    "postroom_requests_refused_total",
    "Requests answered with a problem.",
    labels={"code": "the problem's code, `docs/errors.md`"},
)
ACCEPT_SECONDS = Histogram(
    "postroom_accept_seconds",
    "From a read submission to its commit.",
    unit="seconds",
    bounds=_QUICK,
)
RECIPIENTS = Gauge(
    "postroom_recipients", "Recipients in each state.", labels={"state": "state of a recipient"}
)
QUEUE_OLDEST = Gauge(
    "postroom_queue_oldest_age_seconds",
    "How long what waits longest has been due; 0 when what waits is not due yet.",
    unit="seconds",
    labels={"class": "mail class"},
)
UNCERTAIN_OLDEST = Gauge(
    "postroom_uncertain_oldest_age_seconds",
    "How long ago the oldest message with an uncertain recipient was accepted; 0 without one.",
    unit="seconds",
)
QUEUE_WAIT_SECONDS = Histogram(
    "postroom_queue_wait_seconds",
    "From the time a message was due for the first time to its first attempt.",
    unit="seconds",
    bounds=_LONG,
    labels={"class": "mail class"},
)

# ---------------------------------------------------------------------- transports

RESULTS = Counter(
    "postroom_attempt_results_total",
    "What attempts brought, one for each recipient tried.",
    labels={"transport": "configured name", "outcome": "accepted, captured, deferred, refused or uncertain"},
)
ATTEMPT_SECONDS = Histogram(
    "postroom_attempt_seconds",
    "From the first command of an attempt to its last answer.",
    unit="seconds",
    bounds=_LONG,
    labels={"transport": "configured name"},
)
BREAKER_OPEN = Gauge(
    "postroom_transport_breaker_open",
    "1 while nothing is sent by a transport because of an outage.",
    labels={"transport": "configured name"},
)
PAUSED = Gauge(
    "postroom_transport_paused",
    "1 for each reason a transport waits for now.",
    labels={"transport": "configured name", "kind": "login, connect, throttle, quota or suspended"},
)
TRANSPORT_CONNECTIONS = Gauge(
    "postroom_transport_connections_allowed",
    "Connections a transport may have at this moment: fewer after failures, more with each success.",
    labels={"transport": "configured name"},
)
PACE_USED = Gauge(
    "postroom_pace_used",
    "Messages begun in the running window of a rate.",
    labels={"transport": "configured name", "window": "seconds of the window"},
)
PACE_ALLOWED = Gauge(
    "postroom_pace_allowed",
    "Messages allowed in a window, by the settings or as learnt from the server.",
    labels={"transport": "configured name", "window": "seconds of the window"},
)
HOOK_TRIES = Counter(
    "postroom_hook_tries_total",
    "Tries to tell a webhook of an event.",
    labels={"result": "delivered, pending (it is tried again) or failed"},
)

# ---------------------------------------------------------------------- templates

RENDER_SECONDS = Histogram(
    "postroom_template_render_seconds",
    "Rendering one mail or preview, the way to the rendering process and back included.",
    unit="seconds",
    bounds=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0),
)
RENDER_REFUSED = Counter(
    "postroom_template_refusals_total",
    "Renderings that were refused.",
    labels={"code": "the first problem's code, `docs/errors.md`, or `overload`"},
)
COMPILED = Counter(
    "postroom_template_compilations_total",
    "Sources that were compiled; what is known by its content is not compiled again.",
    labels={"result": "good or refused"},
)
RENDERER_ENDS = Counter(
    "postroom_template_process_ends_total",
    "Processes for templates that ended before they were told to; each is started again.",
    labels={"reason": "late (killed for taking too long) or died"},
)

# ---------------------------------------------------------------------- alerts

ALERT_EVENTS = Counter(
    "postroom_alert_events_total",
    "Alert events stored.",
    labels={"door": "the dialect they came in"},
)
ALERT_DECISIONS = Counter(
    "postroom_alert_decisions_total",
    "Decisions to tell something or not.",
    labels={"clause": "why, `docs/alerts.md`"},
)
ALERT_LETTERS = Counter(
    "postroom_alert_letters_total",
    "Letters decided on; each becomes one mail, or is taken by the fallback.",
    labels={"kind": "alert, digest or summary"},
)
ALERTS_ACTIVE = Gauge("postroom_alerts_active", "Alerts that are active.")
ALERT_EVENTS_WAITING = Gauge("postroom_alert_events_waiting", "Alert events that were not looked at yet.")
ALERT_LETTERS_WAITING = Gauge(
    "postroom_alert_letters_waiting", "Letters that are decided on and not handed in yet."
)
ALERT_LETTERS_OLDEST = Gauge(
    "postroom_alert_letters_oldest_age_seconds",
    "How long ago the oldest of them was decided on; 0 without one.",
    unit="seconds",
)

# ---------------------------------------------------------------------- store

COMMIT_SECONDS = Histogram(
    "postroom_commit_seconds", "One commit, with its wait for the disk.", unit="seconds", bounds=_QUICK
)
COMMIT_OPERATIONS = Histogram(
    "postroom_commit_operations",
    "Operations that shared one commit.",
    unit="operations",
    bounds=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
UNKNOWN_OUTCOMES = Counter(
    "postroom_unknown_outcomes_total", "Operations whose commit failed: nobody knows whether they are stored."
)
STORE_WAITING = Gauge("postroom_store_waiting_operations", "Operations that wait for the next commit.")
WAL_BYTES = Gauge(
    "postroom_store_wal_bytes", "Size of the write-ahead log; above 256 MiB something is wrong.", unit="bytes"
)
DISK_FREE = Gauge("postroom_disk_free_bytes", "Free space where the store lies.", unit="bytes")
DISK_RESERVE = Gauge("postroom_disk_reserve_bytes", "Intake stops when less than this is free.", unit="bytes")

# ---------------------------------------------------------------------- doors

ANSWERS = Counter(
    "postroom_http_answers_total", "Answers to HTTP requests.", labels={"status": "HTTP status code"}
)
CONNECTIONS = Gauge(
    "postroom_http_connections", "Connections that are open.", labels={"door": "http, https or nexus"}
)
MAX_CONNECTIONS = Gauge("postroom_http_connections_max", "Connections that are allowed at once.")
CONNECTIONS_REFUSED = Counter(
    "postroom_http_connections_refused_total",
    "Connections that were refused.",
    labels={"reason": "full, address, descriptors or handshake"},
)
CONNECTIONS_CUT = Counter(
    "postroom_http_connections_cut_total",
    "Connections that were ended for what their caller did or did not do.",
    labels={"reason": "slow-head, slow-body, stalled, errors or flood"},
)
STRESSED = Gauge("postroom_http_stressed", "1 while most connections are in use and deadlines are short.")
BODY_BYTES = Gauge("postroom_http_body_bytes", "Charged for request bodies in memory.", unit="bytes")
MAX_BODY_BYTES = Gauge("postroom_http_body_bytes_max", "What may be charged at once.", unit="bytes")

SMTP_SESSIONS = Gauge(
    "postroom_smtp_sessions", "SMTP sessions that are open.", labels={"door": "smtp or smtps"}
)
MAX_SMTP_SESSIONS = Gauge("postroom_smtp_sessions_max", "SMTP sessions that are allowed at once.")
SMTP_SESSIONS_REFUSED = Counter(
    "postroom_smtp_sessions_refused_total",
    "SMTP sessions that were refused.",
    labels={"reason": "full, address, descriptors or handshake"},
)
SMTP_SESSIONS_CUT = Counter(
    "postroom_smtp_sessions_cut_total",
    "SMTP sessions that were ended for what their client did or did not do.",
    labels={"reason": "slow-command, slow-content, stalled, flood or too-soon"},
)
SMTP_STRESSED = Gauge("postroom_smtp_stressed", "1 while most sessions are in use and deadlines are short.")
SMTP_MAILS = Counter(
    "postroom_smtp_mails_total",
    "Replies to the end of a mail.",
    labels={"code": "SMTP reply code; 250 is a stored mail"},
)
LOGINS_REFUSED = Counter("postroom_smtp_logins_refused_total", "Logins at the SMTP door that were refused.")

# ---------------------------------------------------------------------- process

LOOP_LAG_SECONDS = Histogram(
    "postroom_event_loop_lag_seconds",
    "How much later than asked for the event loop came back, looked at four times a second.",
    unit="seconds",
    bounds=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
LOOP_ALARMS = Counter("postroom_event_loop_alarms_total", "Times the event loop was more than 250 ms late.")
LOG_DROPPED = Counter(
    "postroom_log_records_dropped_total", "Log records dropped because nobody read the log fast enough."
)
DESCRIPTORS = Gauge("process_open_fds", "Open file descriptors.")
MAX_DESCRIPTORS = Gauge("process_max_fds", "Descriptors the process may open.")
RESIDENT = Gauge("process_resident_memory_bytes", "Memory in use.", unit="bytes")
SENDER_RESIDENT = Gauge(
    "postroom_sender_resident_memory_bytes", "Memory of the sender process; 0 without one.", unit="bytes"
)
RENDERER_RESIDENT = Gauge(
    "postroom_template_resident_memory_bytes",
    "Memory of the processes for templates; 0 while there are none.",
    unit="bytes",
)
CPU_SECONDS = Counter("process_cpu_seconds_total", "User and system time.", unit="seconds")
STARTED = Gauge("process_start_time_seconds", "Start, in seconds since 1970.", unit="seconds")
INFO = Gauge("postroom_info", "Always 1.", labels={"version": "of the program", "mode": "live or capture"})

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""In the order of this file."""
