//! Rules of a fleet, with what each is for: what `catchment config example` prints.

/// A document that can be read, comments and all.
pub(in crate::config) const EXAMPLE: &str = r#"defaults: { stale: auto, initial_value: auto, limits: { series: 50000 } }   # of every rule that does not say otherwise
rules:                                   # in order; the first that matches a series takes it
  - name: noise                          # dropped at the door
    match: { metric: ["*.debug.*", "jvm.buffer.*"] }
    except: { resource: { service.name: [canary-*] } }
    action: drop

  - name: http-by-route                  # pods and instances away, status to its class, ids out of paths
    match:
      metric: http.server.request.duration          # *, ? and {a,b} are globs; ~x an expression; !x all but x; of a list any
      attributes: { deployment.environment.name: "{prod,staging}" }   # looked for on the point, then the scope, then the resource
      kind: [histogram, exponential_histogram]
    attributes:                                     # in order, before without
      - class: http.response.status_code            # 503 becomes 5xx
      - replace: { key: http.route, regex: "/[0-9a-f]{8,}", with: "/{id}" }
      - limit: { key: http.route, values: 300, other: other }
    without: [k8s.pod.*, service.instance.id, process.pid, host.name, server.address, scope.version]
    interval: 30s                                   # a multiple of the interval of all
    outputs: [same, p50, p99, rate]                 # same keeps the name; others are http.server.request.duration.p99 …
    limits: { series: 5000 }                        # past it, one overflow series, so that sums stay true

  - name: http-in-flight                 # a sum over the pods that live
    match: { metric: http.server.active_requests }
    without: [k8s.pod.*, service.instance.id]

  - name: db-pools
    match: { metric: "db.client.connection.*" }
    attributes: [ { map: { key: db.namespace, values: { "tenant_*": tenant }, other: other } } ]
    by: [service.name, db.system.name, db.namespace, state]   # exactly these stay
    outputs: { updowncounter: [same], gauge: [sum, max], histogram: [same] }   # by kind, where one list does not fit all

  - name: login-errors
    match: { metric: login.attempts, attributes: { result: "~(denied|locked)" } }
    by: [service.name]
    window: 5m                                      # how far these look back
    outputs: [rate, "unique(enduser.id)", "topk(10, client.address)"]
    keep_input: true                                # the input goes on as well
    continue: true                                  # and later rules see it

  - name: pods-away                      # three lines are a rule
    match: { metric: "*" }
    without: [k8s.pod.*, service.instance.id, process.pid]
"#;
