"""A real Apache Kafka from Python packages alone: one KRaft node, loopback only, its data in a folder.

    async with running_kafka(Path("data")) as kafka:
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap)

A supervisor takes the steps itself: `prepare` (off its event loop), run the command under `tethered`,
`wait_until_ready`, `stop`; `why_ended` when the broker ends by itself. On the command line:
`python -m deploy.embedded.kafka --help`.
"""

from deploy.embedded.kafka.broker import KafkaConfig, prepare, why_ended
from deploy.embedded.kafka.readiness import wait_until_ready
from deploy.embedded.kafka.running import RunningKafka, running_kafka, start, stop

__all__ = ["KafkaConfig", "RunningKafka", "prepare", "running_kafka", "start", "stop", "wait_until_ready", "why_ended"]
