"""Attacks on rules for tools/attack: newborn series under very large resources and scopes, which rules look at, change and
group. What a birth costs must not depend on how large its resource is: the limits are those of all bodies, and the cut at which
what leaves is made is waited for.
"""
import os
import resource
import tempfile

ROWS = []
COUNT = 10_000
# until what was born has been through a cut of a second, and what rules make of it through another
SETTLE_S = 2.3


def row(make):
    ROWS.append(make)
    return make


def run(kit):
    for make in ROWS:
        if kit.is_wanted("rules " + make.__name__):
            kit.guarded(make, kit)


def attributes(kit, count=127, bytes_=4_000, start=b"k"):
    """So many attributes of a resource."""
    return b"".join(kit.field(1, kit.attribute(start + b"%03d" % i, b"v" * bytes_)) for i in range(count))


def scope_attributes(kit, count=127, bytes_=4_000):
    return b"".join(kit.field(3, kit.attribute(b"s%03d" % i, b"v" * bytes_)) for i in range(count))


def metrics(kit, count=COUNT, more=b""):
    return [kit.metric(b"m%d" % i, [kit.point(more)]) for i in range(count)]


def hold(kit, name, rules, bodies, made=COUNT, more=()):
    """Holds the rule of all bodies where these rules are in force; a list of flags, or the text of a file."""
    # a server that copies the resource for each series is stopped before the machine is
    most = lambda: resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))
    with tempfile.TemporaryDirectory() as folder:
        flags = rules
        if isinstance(rules, str):
            path = os.path.join(folder, "rules.yaml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(rules)
            flags = ("--config", path)
        kit.body_row(name, bodies, series=made, groups=made, more=(*flags, *more), settle=SETTLE_S, preexec_fn=most)


CHANGES = {
    "drop": "drop: k001", "replace": "replace: {key: k001, regex: 'v', with: w}", "hash": "hash: k001",
    "lower": "lower: k001", "rename": "rename: {key: k001, to: renamed}", "copy": "copy: {key: k001, to: copied}",
    "set": "set: {key: k001, value: x}", "limit": "limit: {key: k001, values: 10, other: x}",
}


@row
def rules_under_a_large_resource(kit):
    body = kit.request(metrics(kit), attributes(kit))
    of = lambda what: "a resource of half a MiB, " + what
    hold(kit, of("--without"), ("--without", "k001"), [body])
    one = lambda text: "rules:\n  - {name: r, " + text + "}\n"
    hold(kit, of("--without what it has not"), ("--without", "nothing"), [body])
    hold(kit, of("by one of its keys"), one("by: [k001]"), [body])
    hold(kit, of("relabel: rename"), one("action: relabel, attributes: [{rename: {key: k001, to: renamed}}]"), [body])
    hold(kit, of("relabel: copy from point"), one("action: relabel, attributes: [{set: {key: new, value: x}}]"), [body])
    hold(kit, of("match by a value"), one("match: {resource: {k001: '~.*w|v*'}}, without: [x]"), [body])
    hold(kit, of("match anywhere"), one("match: {attributes: {k001: 'v*', k126: '*v'}}, by: []"), [body])
    hold(kit, of("drop by a value"), one("match: {attributes: {k001: 'w*'}}, action: drop"), [body])
    # each output has the value: a short one, so that the resource is what is large
    top = kit.request(metrics(kit), attributes(kit) + kit.field(1, kit.attribute(b"short", b"v")))
    hold(kit, of("topk of its keys"), one("outputs: {counter: ['topk(2, short)']}, without: [k002]"), [top])
    hold(kit, of("unique of its keys"), one("outputs: {counter: ['unique(k001)']}, without: [k002]"), [body])
    two = "rules:\n  - {name: a, without: [k001], continue: true, rename: 'a.{name}'}\n  - {name: b, without: [k002]}\n"
    hold(kit, of("two rules"), two, [body])
    two = ("rules:\n  - {name: a, action: relabel, attributes: [{rename: {key: k001, to: a}}]}\n"
           "  - {name: b, action: relabel, attributes: [{rename: {key: k002, to: b}}]}\n  - {name: c, without: [k003]}\n")
    hold(kit, of("two that relabel"), two, [body])
    dedup = "dedup:\n  - {name: d, match: {resource: {k001: '*'}}, by: k001, per: k002}\n"
    hold(kit, of("dedup"), dedup + one("without: [k003]"), [body], more=("--feature-gates=+dedup",))


@row
def changes_under_a_large_resource(kit):
    body = kit.request(metrics(kit), attributes(kit))
    # points with a key that the change would find on them first
    found = kit.request(metrics(kit, more=kit.field(7, kit.attribute(b"k001", b"v"))), attributes(kit))
    for name, change in CHANGES.items():
        # two, so that one finds its key on the point, and the other one on the resource
        rules = "rules:\n  - {name: r, attributes: [{" + change + "}, {" + change.replace("k001", "k002").replace("ed}", "ed2}") + "}]}\n"
        hold(kit, f"a resource of half a MiB, {name}", rules, [body])
        hold(kit, f"a resource of half a MiB, {name}, on the point", rules, [found])


@row
def rules_under_large_scopes(kit):
    large = lambda scope, inside: kit.field(2, kit.field(1, scope) + b"".join(inside))
    without = "rules:\n  - {name: r, without: [k001, s001]}\n"
    relabel = "rules:\n  - {name: r, action: relabel, attributes: [{rename: {key: k001, to: a}}, {rename: {key: s001, to: b}}]}\n"
    both = kit.field(1, kit.field(1, attributes(kit)) + large(scope_attributes(kit), metrics(kit)))
    many = kit.field(1, kit.field(1, attributes(kit)) + b"".join(
        large(kit.field(1, b"s%d" % i), [kit.metric(b"m", [kit.point()])]) for i in range(COUNT)))
    for name, rules in (("without", without), ("relabel", relabel)):
        hold(kit, f"resource and scope of half a MiB, {name}", rules, [both])
        hold(kit, f"10,000 scopes of a resource of half a MiB, {name}", rules, [many])


@row
def rules_and_histograms_under_a_large_resource(kit):
    rules = "rules:\n  - {name: r, without: [k001]}\n"
    h = lambda name, bound: kit.metric(name, [kit.histogram([float(bound)], [1, 0])], 9, b"\x10\x01")
    body = kit.request([h(b"h", i) for i in range(COUNT)], attributes(kit))
    hold(kit, "10,000 histograms of other bounds, without", rules, [body])
    body = kit.request([h(b"h%d" % i, 1) for i in range(COUNT)], attributes(kit))
    hold(kit, "10,000 histograms under a resource of half a MiB, without", rules, [body])


@row
def rules_and_series_under_a_large_resource(kit):
    points = [kit.point(kit.field(7, kit.attribute(b"k", b"%d" % i))) for i in range(2 * COUNT)]
    body = kit.request([kit.metric(b"m", points)], attributes(kit))
    hold(kit, "20,000 series of a resource of half a MiB, without", ("--without", "k001"), [body], made=2 * COUNT)
    relabel = "rules:\n  - {name: r, action: relabel, attributes: [{rename: {key: k001, to: a}}]}\n"
    hold(kit, "20,000 series of a resource of half a MiB, relabel", relabel, [body], made=2 * COUNT)
    # as many members of one group each, by turns under two resources
    two = [kit.request(metrics(kit, 5_000), attributes(kit, start=start)) for start in (b"k", b"j")]
    hold(kit, "two resources of half a MiB, two requests each", ("--without", "k001"), two * 2)
