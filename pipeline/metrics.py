"""Every metric, declared in one place. No label takes a value per call."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("mise_gateway_requests_total", "Requests answered.", ["route", "status"])
REQUEST_SECONDS = Histogram(
    "mise_gateway_request_seconds", "From the request's head to the answer.", ["route"], buckets=_SECONDS
)
IN_FLIGHT_BYTES = Gauge("mise_gateway_in_flight_bytes", "What the requests that are being answered hold.")
ACCEPTED = Counter("mise_gateway_accepted_total", "Turns and call events acknowledged by Kafka.", ["record"])
REFUSED = Counter("mise_gateway_refused_total", "Turns and call events refused.", ["record", "reason"])
HOOKS_LEFT_OUT = Counter(
    "mise_gateway_hooks_left_out_total", "Webhooks of LiveKit acknowledged and not stored: they are about no room."
)
AUDIO_BYTES = Counter("mise_gateway_audio_bytes_total", "Audio stored in the blob store.")

STAGE_RECORDS = Counter("mise_stage_records_total", "Records a stage has finished with.", ["stage"])
STAGE_BATCH_RECORDS = Histogram(
    "mise_stage_batch_records", "Records in a batch.", ["stage"], buckets=(1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
)
STAGE_BATCH_SECONDS = Histogram(
    "mise_stage_batch_seconds", "From taking a batch to its acknowledgement.", ["stage"], buckets=_SECONDS
)
STAGE_DEAD_LETTERS = Counter("mise_stage_dead_letters_total", "Records sent to the dead letters.", ["stage", "reason"])
STAGE_LAG = Gauge("mise_stage_lag_records", "Records of this process's partitions that are not committed.", ["stage"])
STAGE_OLDEST_SECONDS = Gauge(
    "mise_stage_oldest_record_seconds", "Age of the oldest record in the batch under way, 0 without one.", ["stage"]
)
STAGE_COMMIT_AGE_SECONDS = Gauge(
    "mise_stage_commit_age_seconds",
    "The longest that a partition with records left has not been committed any further.",
    ["stage"],
)
RETRIES = Counter("mise_retries_total", "Attempts that failed because a part was away, by part.", ["what"])
WAITING = Gauge("mise_waiting", "What waits for a part that is away, by part.", ["what"])
EVENT_LOOP_DELAY_SECONDS = Gauge(
    "mise_event_loop_delay_seconds", "How late the event loop was, the latest time it was asked."
)
INSERT_SECONDS = Histogram("mise_sink_insert_seconds", "An insert into ClickHouse.", ["table"], buckets=_SECONDS)
POOL_WAITING = Gauge("mise_features_pool_waiting", "Turns that wait for a process to measure them.")
CALLS_KEPT = Gauge("mise_calls_kept", "Calls the calls stage has in memory: open, or closed less than 24 h ago.")
CALLS_OPEN = Gauge("mise_calls_open", "Those of them that are open.")
