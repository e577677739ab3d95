-- Why: a column for each acoustic feature (schemas/features.py), the contours, and the z of each feature against the
-- turn's speaker; and the view `turns` made anew, since a view's columns are those that its table had when it was made.
-- Cost on a large table: none, columns are added to the metadata alone; turns stored before read NULL, [] and {} there
-- until their topics are processed again.
-- Back: drop the columns of the first statement, then make the view `turns` of 0001 anew.

ALTER TABLE turn_rows
    COMMENT COLUMN IF EXISTS duration_s 'Length of the audio inside the turn [s]',
    COMMENT COLUMN IF EXISTS speech_s 'Time in speech segments [s]',
    ADD COLUMN IF NOT EXISTS speech_ratio Nullable(Float32) COMMENT 'speech_s / duration_s' AFTER speech_s,
    ADD COLUMN IF NOT EXISTS leading_silence_s Nullable(Float32) COMMENT 'From the turn''s start to its first speech [s]' AFTER speech_ratio,
    ADD COLUMN IF NOT EXISTS trailing_silence_s Nullable(Float32) COMMENT 'From the turn''s last speech to its end [s]' AFTER leading_silence_s,
    ADD COLUMN IF NOT EXISTS pause_count Nullable(UInt32) COMMENT 'Silences of 200 ms or more between two speech segments' AFTER trailing_silence_s,
    ADD COLUMN IF NOT EXISTS pause_total_s Nullable(Float32) COMMENT 'Sum of the pauses; 0 without any [s]' AFTER pause_count,
    ADD COLUMN IF NOT EXISTS pause_longest_s Nullable(Float32) COMMENT 'The longest pause [s]' AFTER pause_total_s,
    ADD COLUMN IF NOT EXISTS pause_mean_s Nullable(Float32) COMMENT 'pause_total_s / pause_count [s]' AFTER pause_longest_s,
    ADD COLUMN IF NOT EXISTS hesitation_rate Nullable(Float32) COMMENT 'Pauses and held sounds (filled pauses: 300 ms or more voiced with pitch and spectrum at rest) per minute between the first and the last speech [1/min]' AFTER pause_mean_s,
    COMMENT COLUMN IF EXISTS level_dbfs 'RMS level over the whole turn; square wave at full scale 0, sine -3.01 [dBFS]',
    ADD COLUMN IF NOT EXISTS active_level_dbfs Nullable(Float32) COMMENT 'Active speech level: RMS over the time in which the envelope is over a threshold 15.9 dB below that RMS [dBFS]' AFTER level_dbfs,
    ADD COLUMN IF NOT EXISTS loudness_lufs Nullable(Float32) COMMENT 'Integrated loudness, K-weighted, gated; one channel [LUFS]' AFTER active_level_dbfs,
    ADD COLUMN IF NOT EXISTS level_range_db Nullable(Float32) COMMENT 'Level of the speech frames, 90th minus 10th percentile [dB]' AFTER loudness_lufs,
    ADD COLUMN IF NOT EXISTS level_slope_db_per_s Nullable(Float32) COMMENT 'Slope of the level of the speech frames over the turn [dB/s]' AFTER level_range_db,
    ADD COLUMN IF NOT EXISTS peak_dbfs Nullable(Float32) COMMENT 'The greatest sample, either sign [dBFS]' AFTER level_slope_db_per_s,
    ADD COLUMN IF NOT EXISTS clipped_ratio Nullable(Float32) COMMENT 'Clipped samples / all samples: those in runs of 3 or more at full scale' AFTER peak_dbfs,
    ADD COLUMN IF NOT EXISTS noise_floor_dbfs Nullable(Float32) COMMENT 'Level of what is not speech: power mean over the frames more than 50 ms from any speech [dBFS]' AFTER clipped_ratio,
    ADD COLUMN IF NOT EXISTS snr_db Nullable(Float32) COMMENT 'Signal to noise: power in the speech segments less the noise''s, over the noise''s [dB]' AFTER noise_floor_dbfs,
    ADD COLUMN IF NOT EXISTS f0_mean_hz Nullable(Float32) COMMENT 'Mean F0 of the voiced frames [Hz]' AFTER snr_db,
    ADD COLUMN IF NOT EXISTS f0_median_hz Nullable(Float32) COMMENT 'Median F0 of the voiced frames [Hz]' AFTER f0_mean_hz,
    ADD COLUMN IF NOT EXISTS f0_sd_hz Nullable(Float32) COMMENT 'Standard deviation of the F0 [Hz]' AFTER f0_median_hz,
    ADD COLUMN IF NOT EXISTS f0_p5_hz Nullable(Float32) COMMENT '5th percentile of the F0 [Hz]' AFTER f0_sd_hz,
    ADD COLUMN IF NOT EXISTS f0_p95_hz Nullable(Float32) COMMENT '95th percentile of the F0 [Hz]' AFTER f0_p5_hz,
    ADD COLUMN IF NOT EXISTS f0_range_st Nullable(Float32) COMMENT 'From f0_p5_hz to f0_p95_hz [semitones]' AFTER f0_p95_hz,
    ADD COLUMN IF NOT EXISTS f0_slope_st_per_s Nullable(Float32) COMMENT 'Slope of the F0 over the turn, by the median of slopes [semitones/s]' AFTER f0_range_st,
    ADD COLUMN IF NOT EXISTS f0_final_st Nullable(Float32) COMMENT 'Change of the F0 along the last 300 ms that are voiced [semitones]' AFTER f0_slope_st_per_s,
    ADD COLUMN IF NOT EXISTS final_contour LowCardinality(Nullable(String)) COMMENT 'rise or fall from 1.5 semitones on, else level' AFTER f0_final_st,
    ADD COLUMN IF NOT EXISTS voiced_fraction Nullable(Float32) COMMENT 'Voiced frames / frames in speech segments' AFTER final_contour,
    ADD COLUMN IF NOT EXISTS jitter_local Nullable(Float32) COMMENT 'Mean difference of neighbouring periods / mean period' AFTER voiced_fraction,
    ADD COLUMN IF NOT EXISTS shimmer_local Nullable(Float32) COMMENT 'Mean difference of the amplitudes of neighbouring periods / mean amplitude' AFTER jitter_local,
    ADD COLUMN IF NOT EXISTS hnr_db Nullable(Float32) COMMENT 'Harmonics to noise: mean over the voiced frames [dB]' AFTER shimmer_local,
    ADD COLUMN IF NOT EXISTS cpp_db Nullable(Float32) COMMENT 'Cepstral peak prominence: peak of the cepstrum (60-500 Hz) over its trend, mean over the voiced frames, below 4 kHz [dB]' AFTER hnr_db,
    ADD COLUMN IF NOT EXISTS spectral_tilt_db_per_octave Nullable(Float32) COMMENT 'Slope of the mean spectrum of the voiced frames in third octaves, 200 Hz to 3.15 kHz [dB/octave]' AFTER cpp_db,
    ADD COLUMN IF NOT EXISTS alpha_ratio_db Nullable(Float32) COMMENT 'Energy at 50 Hz-1 kHz over energy at 1-5 kHz (to 4 kHz when the audio ends there), mean over the voiced frames [dB]' AFTER spectral_tilt_db_per_octave,
    ADD COLUMN IF NOT EXISTS hammarberg_db Nullable(Float32) COMMENT 'Strongest peak below 2 kHz over strongest peak at 2-5 kHz (to 4 kHz when the audio ends there), mean over the voiced frames [dB]' AFTER alpha_ratio_db,
    ADD COLUMN IF NOT EXISTS spectral_centroid_hz Nullable(Float32) COMMENT 'Centre of gravity of the spectrum, mean over the speech frames [Hz]' AFTER hammarberg_db,
    ADD COLUMN IF NOT EXISTS spectral_flux Nullable(Float32) COMMENT 'Distance of neighbouring frames'' normalised magnitude spectra, mean over the speech frames' AFTER spectral_centroid_hz,
    ADD COLUMN IF NOT EXISTS syllable_count Nullable(UInt32) COMMENT 'Syllable nuclei: voiced peaks of intensity' AFTER spectral_flux,
    ADD COLUMN IF NOT EXISTS syllable_rate Nullable(Float32) COMMENT 'syllable_count / duration_s [1/s]' AFTER syllable_count,
    ADD COLUMN IF NOT EXISTS articulation_rate Nullable(Float32) COMMENT 'syllable_count / speech_s [1/s]' AFTER syllable_rate,
    ADD COLUMN IF NOT EXISTS words_per_minute Nullable(Float32) COMMENT 'Words / time from the first to the last speech [1/min]' AFTER articulation_rate,
    ADD COLUMN IF NOT EXISTS rate_variation Nullable(Float32) COMMENT 'Standard deviation / mean of the intervals between neighbouring syllable nuclei' AFTER words_per_minute,
    ADD COLUMN IF NOT EXISTS emphasis_count Nullable(UInt32) COMMENT 'Prominent syllables: loudness and F0 together more than 1.5 robust standard deviations over the turn''s syllables' AFTER rate_variation,
    ADD COLUMN IF NOT EXISTS contour_hop_ms Nullable(Float32) COMMENT 'point i of a contour stands for [i, i + 1) * contour_hop_ms from the turn''s start [ms]' AFTER emphasis_count,
    ADD COLUMN IF NOT EXISTS f0_contour Array(UInt8) COMMENT '0: unvoiced; else 50 * exp2((byte - 1) / 64) Hz' AFTER contour_hop_ms,
    ADD COLUMN IF NOT EXISTS level_contour Array(UInt8) COMMENT '0: silent; else -102 + 0.4 * byte dBFS' AFTER f0_contour,
    ADD COLUMN IF NOT EXISTS z Map(LowCardinality(String), Nullable(Float32)) COMMENT 'feature -> against the speaker so far, in robust standard deviations; without z NULL' AFTER overlaps;

CREATE OR REPLACE VIEW turns AS
SELECT * FROM turn_rows FINAL WHERE generation = 1
SETTINGS do_not_merge_across_partitions_select_final = 1;
