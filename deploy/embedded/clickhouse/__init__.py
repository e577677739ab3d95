"""ClickHouse without a server to install: the engine (chdb) behind the HTTP interface of ClickHouse, as a process.

    python -m deploy.embedded.clickhouse --data DIR --port N --user NAME --password-file FILE

Parents start and stop it with `deploy.embedded.clickhouse.process`; nothing here imports the engine but `engine`.
"""
