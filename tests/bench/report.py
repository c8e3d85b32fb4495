"""A Markdown report of the rows of a run: median and range over the rounds."""

from statistics import median


def cpu_per_request(work):
    return lambda row, _: row["work"][work]["cpu_s"] * 1e6 / row["work"][work]["upstream"]["requests"]


def engines_per_request(work):
    def read(row, _):
        used = row["work"][work]["engines_cpu_s"]
        return used * 1e6 / row["work"][work]["upstream"]["requests"] if used else None
    return read


def cpu_per_chunk(row, _):
    return row["work"]["C"]["cpu_s"] * 1e6 / row["work"]["C"]["upstream"]["chunks"]


def load(work, *path, scale=1.0):
    def read(row, _):
        value = row["work"][work]["load"]
        for part in path:
            value = value[part]
        return value * scale
    return read


def added_ms(work, distribution, quantile):
    def read(row, direct):
        ours, theirs = (r["work"][work]["load"][distribution][quantile] for r in (row, direct))
        return (ours - theirs) / 1000
    return read


def chunk_rate(row, _):
    """From the mean length of a stream: chunks over the run's length would count its ragged end."""
    streams = row["work"]["C"]["load"]
    return streams["connections"] * streams["chunks"] / streams["ok"] / streams["latency_us"]["mean"] * 1e6


def reading(name):
    return lambda row, _: row[name]


# Work, figure, how it is read from a row and from direct's of the same round, what Headgate aims at. The aims were set
# on a machine on which nginx takes 37 µs for A, 28 µs for C and 92 µs for F; elsewhere the ratio is the aim.
FIGURES = [
    ("A: small chat, 32 connections", "**CPU µs/request**", cpu_per_request("A"), "≤ 120 (3.2 ×)"),
    ("", "engines' CPU µs/request, beside", engines_per_request("A"), ""),
    ("", "requests/s", load("A", "rps"), ""),
    ("", "p50 µs", load("A", "latency_us", "p50"), ""),
    ("", "p99 µs", load("A", "latency_us", "p99"), ""),
    ("B: small chat, 200 a second", "CPU µs/request", cpu_per_request("B"), ""),
    ("", "p50 µs", load("B", "latency_us", "p50"), ""),
    ("", "**added p50 ms**", added_ms("B", "latency_us", "p50"), "≤ 0.40"),
    ("", "p99 µs", load("B", "latency_us", "p99"), ""),
    ("C: 64 streams of 100 chunks", "**CPU µs/chunk**", cpu_per_chunk, "≤ 35 (1.25 ×)"),
    ("", "chunks/s", chunk_rate, ""),
    ("", "added TTFT p50 ms", added_ms("C", "ttft_us", "p50"), ""),
    ("", "transit p50 µs", load("C", "transit_us", "p50"), ""),
    ("", "transit p99 µs", load("C", "transit_us", "p99"), ""),
    ("F: prompt of 64 KiB", "**CPU µs/request**", cpu_per_request("F"), "≤ 180 (2.0 ×)"),
    ("", "requests/s", load("F", "rps"), ""),
    ("", "p50 µs", load("F", "latency_us", "p50"), ""),
    ("Memory, PSS MiB", "idle", reading("idle_mib"), "≤ 25"),
    ("", "after load", reading("loaded_mib"), "≤ 40"),
    ("Start", "to ready, ms", reading("ready_ms"), "≤ 1000"),
]


def faults(rows):
    """Everything that makes a row void, as lines."""
    found = []
    for row in rows:
        where = f"{row['gateway']}, round {row['round']}"
        if "error" in row:
            found.append(f"{where}: {row['error']}")
        for name, work in row.get("work", {}).items():
            found += [f"{where}, {name}: {fault}" for fault in work["faults"]]
    return found


def markdown(rows, heading):
    names = list(dict.fromkeys(row["gateway"] for row in rows))
    by = {(row["gateway"], row["round"]): row for row in rows if "error" not in row}
    rounds = sorted({row["round"] for row in rows})
    compared = "headgate" in names and "nginx" in names
    head = ["work", "figure", *names, *(["headgate / nginx", "aim"] if compared else [])]
    lines = [heading, "", table_line(head), table_line(["---", "---", *["---:"] * (len(head) - 2)])]
    for work, figure, read, aim in FIGURES:
        cells = [cell(values(by, name, rounds, read)) for name in names]
        if compared:
            cells += [cell(ratios(by, rounds, read)), aim]
        lines.append(table_line([work, figure, *cells]))
    audited = [row for row in rows if any(work["own"] for work in row.get("work", {}).values())]
    if audited:
        lines += ["", *audit_table(audited)]
    void = faults(rows)
    if void:
        lines += ["", "**VOID**: these figures are not to be used.", "", *(f"- {fault}" for fault in void)]
    return "\n".join(lines) + "\n"


def audit_table(rows):
    head = ["round", "work", "requests upstream", "admitted", "ledger rows", "tokens upstream", "tokens in the ledger",
            "verdict"]
    lines = [table_line(head), table_line(["---", "---", *["---:"] * 5, "---"])]
    for row in rows:
        for name, work in row["work"].items():
            own, upstream = work["own"], work["upstream"]
            lines.append(table_line([
                row["round"], name, upstream["requests"], own["admitted"], own["rows"], upstream["tokens"],
                own["tokens"], "void" if work["faults"] else "counts"]))
    return lines


def table_line(cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def values(by, name, rounds, read):
    """The figure in every round that has it."""
    found = {}
    for n in rounds:
        try:
            value = read(by[name, n], by.get(("direct", n)))
        except (KeyError, TypeError, ZeroDivisionError):
            continue
        if value is not None:
            found[n] = value
    return found


def ratios(by, rounds, read):
    """Headgate's figure over nginx's of the same round."""
    ours, theirs = (values(by, name, rounds, read) for name in ("headgate", "nginx"))
    return {n: ours[n] / theirs[n] for n in ours if theirs.get(n, 0) > 0}


def cell(found):
    if not found:
        return "-"
    low, high = shown(min(found.values())), shown(max(found.values()))
    return shown(median(found.values())) + (f" [{low} to {high}]" if low != high else "")


def shown(value):
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
