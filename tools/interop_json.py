"""Odd OTLP/JSON into Catchment, with Google's protobuf library for Python as the judge of what it means.

Each text is a number point with members that a table gives. The judge reads it into the official message, or does not;
Catchment takes it (200), or does not (400), and what it took is read back from its destination file and compared: value,
attributes, flags. Where OTLP/JSON and Catchment's rules differ from what the library does for any JSON of protobuf, the
table says which line of the conformance list it is, and what must happen instead. Run by tools/interop, in the
environment that has the official messages.
"""
import argparse
import atexit
import json
import math
import sys
import tempfile
import urllib.error
import urllib.request

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from interop_check import Catchment, Checks, end_all

HTTP_S = 20
AGREES = None
REFUSED = 400


def attribute(value):
    return f'"asInt":1,"attributes":[{{"key":"k","value":{value}}}]'


# kind of point, members, and how Catchment may differ from the judge: a status, or members that mean the same; and why
CASES = [
    *(("sum", f'"asInt":{text}', AGREES, "") for text in [
        '"5"', "5", "5.0", "1e3", '"1e3"', '"5.0"', "1.5", '"1.5"', "100e-2", "9223372036854775807", '"9223372036854775807"',
        "9223372036854775808", '" 5"', '"5 "', '""', "true", "null", "[]", "{}", '"0x10"', '"-0"', "01", "+1", "-", ".5",
        '"1e400"', "1e400", "NaN", '"NaN"', '"5\\u0030"',
    ]),
    *(("gauge", f'"asDouble":{text}', AGREES, "") for text in [
        '"NaN"', '"Infinity"', '"-Infinity"', '"1.5"', "1.5", "5", '"5e-324"', "1e400", '"nan"', "NaN", "Infinity",
        '""', "null", "0.1", "1e-5", "1.7976931348623157e308", '"2\\u002e5"',
    ]),
    *(("sum", attribute(value), AGREES, "") for value in [
        '{"stringValue":"\\ud83d\\ude00"}', '{"stringValue":"\\ud800"}', '{"stringValue":"\\ude00\\ud83d"}',
        '{"stringValue":"a\\tb\\/\\\\\\""}', '{"stringValue":"\\x41"}', '{"stringValue":"\\u00e9 é"}', '{"stringValue":5}',
        '{"bytesValue":"-_8="}', '{"bytesValue":"+/8="}', '{"bytesValue":"-_8"}', '{"bytesValue":"+/8"}',
        '{"bytesValue":"a"}', '{"boolValue":true}', '{"boolValue":"true"}', '{"boolValue":1}',
        '{"intValue":"7"}', '{"intValue":7.0}', '{"intValue":7.5}', '{"doubleValue":"NaN"}', "null", "{}",
        '{"arrayValue":{"values":[{"intValue":1},{"stringValue":"x"}]}}', '{"arrayValue":{"values":[null]}}',
        '{"kvlistValue":{"values":[{"key":"a","value":{"intValue":1}}]}}', '{"unknown":{"deep":[1,{"x":null}]}}',
    ]),
    *(("sum", f'"asInt":1,{members}', AGREES, "") for members in [
        '"flags":1', '"flags":"0"', '"flags":4294967296', '"flags":-1', '"flags":0.0', '"attributes":null',
        '"attributes":[null]', '"attributes":{}', '"startTimeUnixNano":-1', '"startTimeUnixNano":"1e1"',
        '"startTimeUnixNano":18446744073709551616', '"unknown":"\\u0041"', '"unknown":[1,2,{"a":"b"}]', '"unknown":tru',
        '"unknown":[1,]', '"unknown":01',
    ]),
    ("sum", '"as_int":7,"asInt":1', '"asInt":1', "J1: snake_case is no alias"),
    ("sum", '"asInt":1,"asInt":2', '"asInt":2', "J8: of a key that stands twice the last scalar counts"),
    ("gauge", '"asInt":1,"asDouble":2', '"asDouble":2', "J8: of a oneof the last member counts"),
    ("sum", '"asInt":1,"exemplars":[{"asInt":1,"traceId":"0af7651916cd43dd8448eb211c80319c"}]', '"asInt":1', "J3: hexadecimal"),
    ("sum", '"asInt":1,"exemplars":[{"asInt":1,"traceId":"CvdlGRbNQ92ESOshHIAxnA=="}]', REFUSED, "J3: ids are no base64"),
    # what Python's own conversions let through, and ProtoJSON does not
    *(("gauge", f'"asDouble":{text}', REFUSED, "J7: no number of JSON, and none of the three words") for text in [
        '"inf"', '" 1"', "true",
    ]),
    ("sum", attribute('{"bytesValue":"é"}'), REFUSED, "J3: no letter of base64"),
    ("sum", attribute("[]"), REFUSED, "a list is no message"),
    ("sum", '"asInt":1,"unknown":"\\ud800"', REFUSED, "J9: half of a surrogate pair anywhere"),
]


def text_of(name, kind, members):
    temporality = '"aggregationTemporality":1,"isMonotonic":true,' if kind == "sum" else ""
    metric = f'{{"name":"{name}","{kind}":{{{temporality}"dataPoints":[{{"timeUnixNano":"1700000000000000000",{members}}}]}}}}'
    return f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric}]}}]}}]}}'


def judged(text):
    """The message, or None."""
    try:
        return json_format.Parse(text, ExportMetricsServiceRequest(), ignore_unknown_fields=True)
    except (json_format.ParseError, ValueError, UnicodeError):
        return None


def points(message):
    """{metric: point}"""
    return {
        metric.name: getattr(metric, metric.WhichOneof("data")).data_points[0]
        for resource in message.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def meaning(point):
    value = point.WhichOneof("value")
    number = value and getattr(point, value)
    if value == "as_double" and math.isnan(number):
        number = "NaN"
    attributes = sorted(attribute.SerializeToString(deterministic=True) for attribute in point.attributes)
    return value, number, attributes, point.flags


def send(catchment, text):
    request = urllib.request.Request(
        f"http://{catchment.doors['otlp_http']}/v1/metrics",
        data=text.encode("utf-8", "surrogatepass"),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=HTTP_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.loads(refusal.read())


def run(catchment, path):
    check = Checks()
    expected = {}
    for number, (kind, members, instead, why) in enumerate(CASES):
        name = f"case.{number}"
        text = text_of(name, kind, members)
        message = judged(text) if instead in (AGREES, REFUSED) else judged(text_of(name, kind, instead))
        wanted = REFUSED if instead == REFUSED or message is None else 200
        status, body = send(catchment, text)
        problem = None if status == wanted else f"wanted {wanted}, have {status}: {body}"
        check(f"JSON: {members}{why and f' ({why})'}", problem)
        # what has no value, or a flag that says so, is taken as a message and then rejected or kept as a point without value
        if problem is None and status == 200:
            point = points(message)[name]
            rejected = int(body.get("partialSuccess", {}).get("rejectedDataPoints", 0))
            valid = point.WhichOneof("value") is not None
            check(f"JSON: {members}: a point", None if rejected == (0 if valid else 1) else str(body))
            if valid and not point.flags & 1:
                expected[name] = meaning(point)
    code = catchment.end()
    check("JSON: exit code 0", None if code == 0 else str(code))
    with open(path, encoding="utf-8") as file:
        found = {}
        for line in file:
            # what leaves is the last value, whole: read by the judge
            found |= {name: meaning(point) for name, point in points(judged(line)).items()}
    for name in sorted(expected.keys() | found.keys()):
        have, want = found.get(name), expected.get(name)
        if have != want:
            check(f"JSON: {name} means the same", f"{CASES[int(name.split('.')[1])][1]}: wanted {want}, have {have}")
    check(f"JSON: {len(expected)} points mean the same", None if len(expected) > 30 else "too few were compared")
    return check


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--catchment", required=True)
    arguments = parser.parse_args()
    atexit.register(end_all)
    with tempfile.TemporaryDirectory(prefix="catchment-interop-", ignore_cleanup_errors=True) as folder:
        path = f"{folder}/out.jsonl"
        catchment = Catchment(arguments.catchment, folder, interval="1h", more=["--out", f"file:{path}"])
        try:
            check = run(catchment, path)
        finally:
            end_all()
    print(f"{check.passed} passed, {check.failed} failed")
    return 1 if check.failed or not check.passed else 0


if __name__ == "__main__":
    sys.exit(main())
