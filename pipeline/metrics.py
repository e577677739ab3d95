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
AUDIO_BYTES = Counter("mise_gateway_audio_bytes_total", "Audio stored in the blob store.")

STAGE_RECORDS = Counter("mise_stage_records_total", "Records a stage has finished with.", ["stage"])
STAGE_BATCH_SECONDS = Histogram(
    "mise_stage_batch_seconds", "From taking a batch to its acknowledgement.", ["stage"], buckets=_SECONDS
)
STAGE_DEAD_LETTERS = Counter("mise_stage_dead_letters_total", "Records sent to the dead letters.", ["stage", "reason"])
CALLS_KEPT = Gauge("mise_calls_kept", "Calls the calls stage has in memory: open, or closed less than 24 h ago.")
