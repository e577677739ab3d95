"""The contracts: what goes over the wire, through the topics and into ClickHouse. Imports nothing of ours."""
