-- Why: the store of annotated turns, call events and call summaries, and the four public views over it.
-- Cost on a large table: none, the tables are new.
-- Back: drop the four views, then turn_rows, event_rows and call_rows.
--
-- One row per identity is what readers see: ReplacingMergeTree keeps the greatest version of each ORDER BY key, and the
-- views read FINAL. ORDER BY is exactly the identity, and the partition key is made of its parts, so that no revision
-- can move a row out of its predecessor's reach. Generations are dropped by partition.

CREATE TABLE IF NOT EXISTS turn_rows
(
    workspace            LowCardinality(String),
    generation           UInt32,
    call_id              String,
    opened_at            DateTime64(3, 'UTC') COMMENT 'when the call''s first record was received',
    turn_id              String,
    version              UInt64,
    participant          String,
    role                 LowCardinality(String) COMMENT 'user, agent or human_agent',
    text                 String CODEC(ZSTD(3)),
    started_at           DateTime64(3, 'UTC'),
    ended_at             DateTime64(3, 'UTC'),
    received_at          DateTime64(6, 'UTC'),
    content_hash         String,
    language             LowCardinality(Nullable(String)),
    interrupted          Nullable(Bool) COMMENT 'as the voice platform says',
    words                Array(Tuple(w String, started_at DateTime64(3, 'UTC'), ended_at DateTime64(3, 'UTC'))) CODEC(ZSTD(3)),
    room_name            Nullable(String),
    room_sid             Nullable(String),
    room_participant_sid Nullable(String),
    room_connected_at    Nullable(DateTime64(3, 'UTC')),
    metadata             Map(LowCardinality(String), String),
    audio_blob           Nullable(String) COMMENT 'key in the blob store',
    audio_format         LowCardinality(Nullable(String)),
    audio_length_differs Bool COMMENT 'audio more than 200 ms longer or shorter than the turn',
    segments             Array(Tuple(start_ms UInt32, end_ms UInt32)) COMMENT 'speech, from the turn''s start',
    duration_s           Nullable(Float32),
    speech_s             Nullable(Float32),
    level_dbfs           Nullable(Float32),
    measured             Array(LowCardinality(String)) COMMENT 'features that hold a number',
    not_measured_reason  LowCardinality(Nullable(String)),
    features_version     LowCardinality(String),
    overlap_ms           UInt32 COMMENT 'time of this turn during which anyone else is active',
    overlaps             Array(Tuple(overlapped String, started_at DateTime64(3, 'UTC'), duration_ms UInt32, kind LowCardinality(String), class LowCardinality(String), floor_taken Bool, yield_ms Nullable(UInt32))) COMMENT 'those that start in this turn, its participant the overlapper',
    rules                LowCardinality(String) COMMENT 'version of the dialogue rules',
    inserted_at          DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY (generation, toYYYYMM(opened_at))
ORDER BY (workspace, generation, call_id, opened_at, turn_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS event_rows
(
    workspace    LowCardinality(String),
    generation   UInt32,
    call_id      String,
    opened_at    DateTime64(3, 'UTC'),
    event_id     String,
    version      UInt64,
    type         LowCardinality(String),
    at           DateTime64(3, 'UTC'),
    participant  Nullable(String),
    data         Map(LowCardinality(String), String) COMMENT 'text as it is, other values as JSON',
    received_at  DateTime64(6, 'UTC'),
    content_hash String,
    inserted_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY (generation, toYYYYMM(opened_at))
ORDER BY (workspace, generation, call_id, opened_at, event_id)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS call_rows
(
    workspace      LowCardinality(String),
    generation     UInt32,
    call_id        String,
    opened_at      DateTime64(3, 'UTC'),
    version        UInt64,
    state          LowCardinality(String) COMMENT 'open or closed',
    closed_at      DateTime64(3, 'UTC') COMMENT 'when it closes or closed',
    started_at     Nullable(DateTime64(3, 'UTC')),
    ended_at       Nullable(DateTime64(3, 'UTC')),
    turns          UInt32,
    events         UInt32,
    duration_ms    UInt64,
    speech_ms      UInt64,
    overlap_ms     UInt64,
    overlap_ratio  Nullable(Float64) COMMENT 'overlap_ms / speech_ms',
    silence_ms     UInt64,
    interruptions  UInt32,
    backchannels   UInt32,
    participants   Array(Tuple(participant String, role LowCardinality(String), turns UInt32, speech_ms UInt64, talk_ratio Nullable(Float64), interruptions_made UInt32, interruptions_received UInt32, backchannels UInt32)) COMMENT 'talk_ratio = speech_ms / sum of speech_ms over participants',
    rules          LowCardinality(String),
    inserted_at    DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY (generation, toYYYYMM(opened_at))
ORDER BY (workspace, generation, call_id, opened_at)
SETTINGS non_replicated_deduplication_window = 1000;

CREATE VIEW IF NOT EXISTS turns AS
SELECT * FROM turn_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE VIEW IF NOT EXISTS call_events AS
SELECT * FROM event_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE VIEW IF NOT EXISTS calls AS
SELECT * FROM call_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE VIEW IF NOT EXISTS overlaps AS
SELECT
    workspace,
    generation,
    call_id,
    opened_at,
    turn_id,
    participant AS overlapper,
    overlap.overlapped AS overlapped,
    overlap.started_at AS started_at,
    overlap.duration_ms AS duration_ms,
    overlap.kind AS kind,
    overlap.class AS class,
    overlap.floor_taken AS floor_taken,
    overlap.yield_ms AS yield_ms,
    rules
FROM turns
ARRAY JOIN overlaps AS overlap;
