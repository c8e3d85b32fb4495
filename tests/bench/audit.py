"""Whether Headgate did all of its work: a fast gateway that forgets requests is no fast gateway."""

import re
import sqlite3

from harness import BenchError, http

ADMITTED = re.compile(rb"^headgate_router_requests_total\{[^}]*\} (\S+)$", re.M)
# headgate.record.v1.Outcome
SUCCEEDED = 1


SUMS = ("SELECT count(*), coalesce(sum(prompt_tokens + completion_tokens), 0), coalesce(sum(cost_nano_usd), 0),"
        f" count(*) FILTER (WHERE estimated OR outcome <> {SUCCEEDED}) FROM ")


def in_file(path):
    """Reads the sums of a ledger in SQLite."""
    def sums():
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return connection.execute(SUMS + "usage_records").fetchone()
        finally:
            connection.close()
    return sums


def in_postgres(postgres):
    """Reads the sums of a ledger in PostgreSQL."""
    return lambda: [int(column) for column in postgres.sql(SUMS + "usage.usage_records")]


def counts(ops_url, ledger):
    """What Headgate says it has done since its start, by its metrics and by the sums of its ledger."""
    status, metrics = http(f"{ops_url}/metrics")
    if status != 200:
        raise BenchError(f"{ops_url}/metrics answers {status}")
    admitted = sum(float(value) for value in ADMITTED.findall(metrics))
    rows, tokens, cost, inexact = ledger()
    return {"admitted": int(admitted), "rows": rows, "tokens": tokens, "cost_nano_usd": cost, "inexact": inexact}


def faults(load, upstream, own=None):
    """Why a piece of work is void; empty when it counts. `own` is what the gateway counted meanwhile, if it does."""
    found = []
    errors = load["http_errors"] + load["io_errors"] + load["short_streams"]
    if errors:
        found.append(f"{errors} errors, the first: {load['first_error']}")
    if load["ok"] == 0:
        found.append("no request succeeded")
    if upstream["failed"] or upstream["cancelled"]:
        found.append(f"the upstream saw {upstream['failed']} bad requests and {upstream['cancelled']} hang-ups")
    if own is None:
        return found
    if not upstream["requests"] == own["admitted"] == own["rows"]:
        found.append(f"{upstream['requests']} requests upstream, {own['admitted']} admitted, {own['rows']} ledger rows")
    if own["tokens"] != upstream["tokens"]:
        found.append(f"{upstream['tokens']} tokens upstream, {own['tokens']} in the ledger")
    if own["inexact"]:
        found.append(f"{own['inexact']} ledger rows are estimated or no success")
    if own["cost_nano_usd"] <= 0:
        found.append("nothing was charged")
    return found


def difference(after, before):
    return {name: after[name] - before[name] for name in after}
