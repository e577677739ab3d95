"""The stages as Faust apps: consume, call the pipeline, send, acknowledge. No arithmetic here, no Faust elsewhere."""
