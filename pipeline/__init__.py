"""What the product does. `audio`, `dsp` and `dialogue` are pure; `gateway`, `storage` and `kafka` are the edges."""
