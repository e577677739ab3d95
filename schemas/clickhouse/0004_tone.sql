-- Why: the sentiment of each turn's text, the frustration of users with its signs, and the views `turns` and `calls` made anew,
-- since a view's columns are those that its table had when it was made.
-- Cost on a large table: none, columns are added to the metadata alone; rows stored before read NULL and {} there until their
-- topics are processed again.
-- Back: drop the columns, then make the two views of 0001 anew.

ALTER TABLE turn_rows
    ADD COLUMN IF NOT EXISTS sentiment Nullable(Float32) COMMENT 'of the text''s words, -1 to 1; NULL without words, or none that are English' AFTER overlaps,
    ADD COLUMN IF NOT EXISTS frustration Nullable(Float32) COMMENT 'of a user at this turn, 0 to 1; NULL for others' AFTER sentiment,
    ADD COLUMN IF NOT EXISTS frustration_signs Map(LowCardinality(String), Nullable(Float32)) COMMENT 'what each sign adds to the load of this turn' AFTER frustration;

ALTER TABLE call_rows
    ADD COLUMN IF NOT EXISTS frustration_max Nullable(Float32) COMMENT 'the greatest of any user''s turn' AFTER longest_monologue_by,
    ADD COLUMN IF NOT EXISTS frustration_end Nullable(Float32) COMMENT 'at the last user''s turn' AFTER frustration_max;

CREATE OR REPLACE VIEW turns AS
SELECT * FROM turn_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;

CREATE OR REPLACE VIEW calls AS
SELECT * FROM call_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;
