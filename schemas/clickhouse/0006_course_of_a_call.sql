-- Why: the course of a call (long silences, the course of sentiment and frustration, arousal, clocks that go wrong), what its
-- phases rest on, whether interruptions compete, and cross-talk; faults of 50 days and more, which UInt32 wrapped round; a
-- view of the silences; the other views made anew, since a view's columns are those that its table had when it was made.
-- Cost on a large table: the columns `overlaps`, `participants`, `phases` and `faults` are rewritten in the background, and are
-- read as they were meanwhile; the others are added to the metadata alone. Rows stored before read NULL, 0, '' and [] there until
-- their topics are processed again.
-- Back: modify `overlaps` and `faults` to the types that 0003 has, `participants` to that of 0001, `phases` to that of 0005, drop
-- the other columns and the view `silences`, make the other views of 0001 and 0003 anew.

ALTER TABLE turn_rows
    MODIFY COLUMN overlaps Array(Tuple(overlapped String, started_at DateTime64(3, 'UTC'), duration_ms UInt32, kind LowCardinality(String), class LowCardinality(String), floor_taken Bool, yield_ms Nullable(UInt32), spoken_share Nullable(Float32), confidence Nullable(Float32), p_interruption Nullable(Float32), p_backchannel Nullable(Float32), basis LowCardinality(Nullable(String)), evidence Array(Tuple(name LowCardinality(String), weight Float32)), competition LowCardinality(Nullable(String)))) COMMENT 'those that start in this turn, its participant the overlapper',
    ADD COLUMN IF NOT EXISTS sentiment_ema Nullable(Float32) COMMENT 'exponential moving average of the participant''s sentiment up to this turn' AFTER sentiment,
    ADD COLUMN IF NOT EXISTS arousal Nullable(Float32) COMMENT 'louder, higher and faster than the speaker so far (above 0) or less so, -1 to 1' AFTER sentiment_ema,
    ADD COLUMN IF NOT EXISTS crosstalk_ms UInt32 COMMENT 'speech in this turn''s audio that is another''s voice; it counts for nothing' AFTER arousal;

ALTER TABLE call_rows
    MODIFY COLUMN participants Array(Tuple(participant String, role LowCardinality(String), turns UInt32, speech_ms UInt64, talk_ratio Nullable(Float64), interruptions_made UInt32, interruptions_received UInt32, backchannels UInt32, sentiment_ema Nullable(Float32), delay_p50_ms Nullable(Int64), clock_skew_ms Nullable(Int64))) COMMENT 'talk_ratio = speech_ms / sum of speech_ms over participants; clock_skew_ms: how far the clock seems to be behind, where there is reason to think so',
    MODIFY COLUMN phases Array(Tuple(phase LowCardinality(String), started_at DateTime64(3, 'UTC'), ended_at DateTime64(3, 'UTC'), source LowCardinality(String))) COMMENT 'ai, escalation, human, after: who handled the call when, and what that rests on: roles, events or text',
    MODIFY COLUMN faults Array(Tuple(at DateTime64(3, 'UTC'), kind LowCardinality(String), participant String, turn_id String, duration_ms UInt64)) COMMENT 'in order of time, the first 200',
    ADD COLUMN IF NOT EXISTS silence_ratio Nullable(Float64) COMMENT 'silence_ms / duration_ms' AFTER silence_ms,
    ADD COLUMN IF NOT EXISTS turns_per_minute Nullable(Float64) COMMENT 'turns that speak / duration_ms, per minute' AFTER silence_ratio,
    ADD COLUMN IF NOT EXISTS silences Array(Tuple(at DateTime64(3, 'UTC'), duration_ms UInt64, before String, after String, due LowCardinality(String))) COMMENT 'of 3 s and more, in order of time, the first 200' AFTER turns_per_minute,
    ADD COLUMN IF NOT EXISTS frustration_start Nullable(Float32) COMMENT 'at the first user''s turn' AFTER frustration_max,
    ADD COLUMN IF NOT EXISTS frustration_slope Nullable(Float32) COMMENT 'per minute, by least squares over users'' turns' AFTER frustration_end,
    ADD COLUMN IF NOT EXISTS turnings Array(Tuple(at DateTime64(3, 'UTC'), kind LowCardinality(String), participant String, turn_id String, frustration Float32)) COMMENT 'escalation: a user''s frustration reaches 0.5; de_escalation: it has fallen to 0.25 since' AFTER frustration_slope;

CREATE OR REPLACE VIEW turns AS
SELECT * FROM turn_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW calls AS
SELECT * FROM call_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW silences AS
SELECT
    workspace,
    generation,
    call_id,
    opened_at,
    silence.at AS at,
    silence.duration_ms AS duration_ms,
    silence.before AS before,
    silence.after AS after,
    silence.due AS due
FROM calls
ARRAY JOIN silences AS silence;

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
    overlap.competition AS competition,
    rules
FROM turns
ARRAY JOIN overlaps AS overlap;
