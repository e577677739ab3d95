-- Why: what an overlap's class rests on (its probability, and what spoke for and against it); the floor transfers, the
-- response times and the faults of a call, with a view of the faults; the other views made anew, since a view's columns are
-- those that its table had when it was made.
-- Cost on a large table: the column `overlaps` is rewritten in the background, and is read as it was meanwhile; the others
-- are added to the metadata alone. Rows stored before read NULL, 0 and [] there until their topics are processed again.
-- Back: modify `overlaps` to the type that 0001 has, drop the columns of the second statement and the view
-- `faults`, make the other views of 0001 anew.

ALTER TABLE turn_rows
    MODIFY COLUMN overlaps Array(Tuple(overlapped String, started_at DateTime64(3, 'UTC'), duration_ms UInt32, kind LowCardinality(String), class LowCardinality(String), floor_taken Bool, yield_ms Nullable(UInt32), spoken_share Nullable(Float32), confidence Nullable(Float32), p_interruption Nullable(Float32), p_backchannel Nullable(Float32), basis LowCardinality(Nullable(String)), evidence Array(Tuple(name LowCardinality(String), weight Float32)))) COMMENT 'those that start in this turn, its participant the overlapper';

ALTER TABLE call_rows
    ADD COLUMN IF NOT EXISTS transfers UInt32 COMMENT 'how often the floor went from one participant to another' AFTER backchannels,
    ADD COLUMN IF NOT EXISTS transfers_overlapped UInt32 COMMENT 'transfers whose offset is negative' AFTER transfers,
    ADD COLUMN IF NOT EXISTS fto_p5_ms Nullable(Float32) COMMENT 'floor-transfer offset, 5th percentile: a gap when positive, an overlap when negative' AFTER transfers_overlapped,
    ADD COLUMN IF NOT EXISTS fto_p25_ms Nullable(Float32) AFTER fto_p5_ms,
    ADD COLUMN IF NOT EXISTS fto_p50_ms Nullable(Float32) AFTER fto_p25_ms,
    ADD COLUMN IF NOT EXISTS fto_p75_ms Nullable(Float32) AFTER fto_p50_ms,
    ADD COLUMN IF NOT EXISTS fto_p95_ms Nullable(Float32) AFTER fto_p75_ms,
    ADD COLUMN IF NOT EXISTS agent_response_p50_ms Nullable(Float32) COMMENT 'floor-transfer offset from a user to an agent, median' AFTER fto_p95_ms,
    ADD COLUMN IF NOT EXISTS agent_response_p95_ms Nullable(Float32) AFTER agent_response_p50_ms,
    ADD COLUMN IF NOT EXISTS user_response_p50_ms Nullable(Float32) COMMENT 'floor-transfer offset from an agent to a user, median' AFTER agent_response_p95_ms,
    ADD COLUMN IF NOT EXISTS user_response_p95_ms Nullable(Float32) AFTER user_response_p50_ms,
    ADD COLUMN IF NOT EXISTS longest_monologue_ms UInt64 COMMENT 'how long one participant had the floor before another took it, at most' AFTER user_response_p95_ms,
    ADD COLUMN IF NOT EXISTS longest_monologue_by Nullable(String) AFTER longest_monologue_ms,
    ADD COLUMN IF NOT EXISTS fault_counts Map(LowCardinality(String), UInt32) COMMENT 'how many of each kind, none left out' AFTER longest_monologue_by,
    ADD COLUMN IF NOT EXISTS faults Array(Tuple(at DateTime64(3, 'UTC'), kind LowCardinality(String), participant String, turn_id String, duration_ms UInt32)) COMMENT 'in order of time, the first 200' AFTER fault_counts;

CREATE OR REPLACE VIEW turns AS
SELECT * FROM turn_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW calls AS
SELECT * FROM call_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW faults AS
SELECT
    workspace,
    generation,
    call_id,
    opened_at,
    fault.at AS at,
    fault.kind AS kind,
    fault.participant AS participant,
    fault.turn_id AS turn_id,
    fault.duration_ms AS duration_ms,
    rules
FROM calls
ARRAY JOIN faults AS fault;

CREATE OR REPLACE VIEW overlaps AS
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
    overlap.spoken_share AS spoken_share,
    overlap.confidence AS confidence,
    overlap.p_interruption AS p_interruption,
    overlap.p_backchannel AS p_backchannel,
    overlap.basis AS basis,
    overlap.evidence AS evidence,
    rules
FROM turns
ARRAY JOIN overlaps AS overlap;
