-- Why: the sentiment of each turn's text, and the view `turns` made anew, since a view's columns are those that its table had
-- when it was made.
-- Cost on a large table: none, the column is added to the metadata alone; turns stored before read NULL there until their
-- topics are processed again.
-- Back: drop the column, then make the view `turns` of 0001 anew.

ALTER TABLE turn_rows
    ADD COLUMN IF NOT EXISTS sentiment Nullable(Float32) COMMENT 'of the text''s words, -1 to 1; NULL without words, or none that are English' AFTER overlaps;

CREATE OR REPLACE VIEW turns AS
SELECT * FROM turn_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;
