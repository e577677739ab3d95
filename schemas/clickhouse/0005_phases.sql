-- Why: who handled a call when, and how it came out; the view `calls` made anew, since a view's columns are those that its
-- table had when it was made.
-- Cost on a large table: none, columns are added to the metadata alone; calls stored before read [] and {} there until
-- their topics are processed again.
-- Back: drop the columns, then make the view `calls` of 0001 anew.

ALTER TABLE call_rows
    ADD COLUMN IF NOT EXISTS phases Array(Tuple(phase LowCardinality(String), started_at DateTime64(3, 'UTC'), ended_at DateTime64(3, 'UTC'))) COMMENT 'ai, escalation, human, after: who handled the call when' AFTER participants,
    ADD COLUMN IF NOT EXISTS outcome Map(LowCardinality(String), String) COMMENT 'data of the latest outcome event: text as it is, other values as JSON' AFTER phases;

CREATE OR REPLACE VIEW calls AS
SELECT * FROM call_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;
