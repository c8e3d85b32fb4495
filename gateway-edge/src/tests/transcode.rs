use serde_json::{Value, json};

use super::server::{Answered, Server, request};
use super::things::{self, Echo, PACKAGE};
use crate::Services;
use crate::transcode::contract;

/// An edge in front of the service of things.
struct Things {
    server: Server,
    echo: Echo,
}

impl Things {
    async fn start() -> Self {
        let contract = things::contract_with("");
        let echo = Echo::new(&contract);
        let services = Services::from([(PACKAGE, echo.conn())]);
        Self { server: Server::start_with(&contract, services).await, echo }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answered {
        self.server.ask(request(method, path, body)).await
    }

    /// What the service was asked, without what is not set.
    async fn asked(&self, method: &str, path: &str, body: &str) -> Value {
        *self.echo.seen.lock() = None;
        let answer = self.ask(method, path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        serde_json::to_value(&self.echo.seen.lock().take().unwrap().1).unwrap()
    }

    /// Status, the field at fault and the text of a refusal that no service saw.
    async fn refused(&self, method: &str, path: &str, body: &str) -> (u16, Value, String) {
        *self.echo.seen.lock() = None;
        let answer = self.ask(method, path, body).await;
        assert!(self.echo.seen.lock().is_none(), "{method} {path}");
        let error = answer.json()["error"].clone();
        (answer.status.as_u16(), error["param"].clone(), error["message"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn paths_fill_fields() {
    let things = Things::start().await;
    for (path, name) in [
        ("/admin/things/a%20b", "a b"),
        ("/admin/things/org/a%2Fb/c", "org/a/b/c"),
        ("/admin/things/a:b", "a:b"),
        ("/admin/things/100%", "100%"),
        ("/admin/things/%E2%9C%93", "✓"),
    ] {
        assert_eq!(things.asked("GET", path, "").await, json!({"name": name}), "{path}");
    }
    let inner = things.asked("GET", "/admin/inner-things/x/9007199254740993", "").await;
    assert_eq!(inner, json!({"inner": {"name": "x"}, "count": "9007199254740993"}));
    let turned = things.asked("POST", "/admin/things/a/b:turn", "{}").await;
    assert_eq!(turned, json!({"name": "a/b"}));
    let (status, field, _) = things.refused("GET", "/admin/things/%ff", "").await;
    assert_eq!((status, field), (400, json!("name")));
    let (status, field, text) = things.refused("GET", "/admin/inner-things/x/many", "").await;
    assert_eq!((status, field), (400, json!("count")));
    assert_eq!(text, "count must be a whole number of 64 bits");
}

#[tokio::test]
async fn what_others_say_may_hold_more_than_is_known() {
    let things = Things::start().await;
    let heard = things.asked("GET", "/admin/things:hear?name=a&session_state=1&x.y=z", "").await;
    assert_eq!(heard, json!({"name": "a"}));
    let (status, field, _) = things.refused("GET", "/admin/things/a?session_state=1", "").await;
    assert_eq!((status, field), (400, json!("session_state")));
}

#[tokio::test]
async fn bodies_are_the_message_or_a_field_of_it() {
    let things = Things::start().await;
    let whole = json!({"name": "n", "count": "-9223372036854775808", "most": 0, "sort": "SORT_HARD",
        "words": ["a", ""], "create_time": "2026-01-31T12:00:00Z", "life": "1.500s",
        "inner": {"name": "i", "size": 1.5}, "is_heavy": true, "picture": "AAH/",
        "labels": {"l": {"size": 2.0}}, "box": "18446744073709551615", "weight": 0.5, "parts": [{"name": "p"}]});
    let canonical = json!({"name": "n", "count": "-9223372036854775808", "most": 0, "sort": "SORT_HARD",
        "words": ["a", ""], "createTime": "2026-01-31T12:00:00Z", "life": "1.500s",
        "inner": {"name": "i", "size": 1.5}, "isHeavy": true, "picture": "AAH/",
        "labels": {"l": {"size": 2.0}}, "box": "18446744073709551615", "weight": 0.5, "parts": [{"name": "p"}]});
    for body in [&whole, &canonical] {
        assert_eq!(things.asked("POST", "/admin/things", &body.to_string()).await, canonical);
    }
    assert_eq!(things.asked("POST", "/admin/things", "").await, json!({}));
    assert_eq!(things.asked("POST", "/admin/things", r#"{"name":null}"#).await, json!({}));
    let field = things.asked("POST", "/api/things?name=n", r#"{"name":"i"}"#).await;
    assert_eq!(field, json!({"name": "n", "inner": {"name": "i"}}));
    let same = things.asked("POST", "/admin/things/n:turn", r#"{"name":"n","count":1}"#).await;
    assert_eq!(same, json!({"name": "n", "count": "1"}));
}

#[tokio::test]
async fn what_a_body_gets_wrong_is_named() {
    let things = Things::start().await;
    for (body, field, text) in [
        (r#"{"nam":"n"}"#, "nam", "there is no field nam"),
        (r#"{"inner":{"names":"n"}}"#, "inner.names", "there is no field inner.names"),
        (r#"{"parts":[{},{"x":1}]}"#, "parts[1].x", "there is no field parts[1].x"),
        (r#"{"labels":{"a":{"x":1}}}"#, "labels.a.x", "there is no field labels.a.x"),
        (r#"{"name":1}"#, "name", "name must be a string"),
        (r#"{"most":-1}"#, "most", "most must be a whole number from 0 to 4294967295"),
        (r#"{"most":1.5}"#, "most", "most must be a whole number from 0 to 4294967295"),
        (r#"{"sort":"SOFT"}"#, "sort", "sort must be one of SORT_UNSPECIFIED, SORT_HARD"),
        (r#"{"words":"a"}"#, "words", "words must be a list"),
        (r#"{"words":[1]}"#, "words[0]", "words[0] must be a string"),
        (r#"{"inner":[]}"#, "inner", "inner must be an object"),
        (r#"{"inner":{"size":"big"}}"#, "inner.size", "inner.size must be a number"),
        (r#"{"is_heavy":"yes"}"#, "is_heavy", "is_heavy must be true or false"),
        (r#"{"picture":"*"}"#, "picture", "picture must be a string of base64"),
        (
            r#"{"create_time":"yesterday"}"#,
            "create_time",
            "create_time must be a time like 2026-01-31T12:00:00Z",
        ),
        (r#"{"life":"long"}"#, "life", "life must be a duration like 1.5s"),
        (r#"{"shelf":"a","box":"1"}"#, "shelf", "shelf and box exclude each other"),
        (r#"{"is_heavy":true,"isHeavy":false}"#, "is_heavy", "is_heavy is given twice, and differs"),
        (r#"{"name":"n","name":"m"}"#, "name", "name is given twice"),
        (r#"{"name":"n","name":"n"}"#, "name", "name is given twice"),
        (r#"{"parts":[{},{"size":1,"size":2}]}"#, "parts[1].size", "parts[1].size is given twice"),
        (r#"{"notes":{"a":"1","a":"2"}}"#, "notes.a", "notes.a is given twice"),
        (r#"{"notes":{"a":1}}"#, "notes.a", "notes.a must be a string"),
        (r#"{"notes":{"value":1}}"#, "notes.value", "notes.value must be a string"),
        (r#"{"notes":{"a":null}}"#, "notes.a", "notes.a must be a string"),
        (r#"{"notes":[]}"#, "notes", "notes must be an object"),
        (r#"{"labels":{"name":1}}"#, "labels.name", "labels.name must be an object"),
        (r#"{"labels":{"a":null}}"#, "labels.a", "labels.a must be an object"),
        (r#"{"labels":{"value":{"size":"big"}}}"#, "labels.value.size", "labels.value.size must be a number"),
        (r#"{"words":["a",null]}"#, "words[1]", "words[1] must be a string"),
        (r#"{"parts":[null]}"#, "parts[0]", "parts[0] must be an object"),
    ] {
        let refused = things.refused("POST", "/admin/things", body).await;
        assert_eq!((refused.0, refused.1, refused.2.as_str()), (400, json!(field), text), "{body}");
    }
    for (body, text) in [
        ("[]", "the request body must be a JSON object"),
        ("{", "the request body is not JSON"),
        ("\u{1}", "the request body is not JSON"),
    ] {
        let refused = things.refused("POST", "/admin/things", body).await;
        assert_eq!((refused.0, refused.1, refused.2.as_str()), (400, Value::Null, text));
    }
    let refused = things.refused("POST", "/admin/things/n:turn", r#"{"name":"m"}"#).await;
    assert_eq!((refused.0, refused.1), (400, json!("name")));
    let refused = things.refused("DELETE", "/admin/things/n", r#"{"count":1}"#).await;
    assert_eq!(refused.2, "the request body must be empty: this path takes none");
}

#[tokio::test]
async fn a_body_in_another_form_than_plain_json_is_not_read() {
    let things = Things::start().await;
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-type", "text/plain"),
    ] {
        let mut sent = request("POST", "/admin/things", r#"{"name":"n"}"#);
        sent.headers_mut().insert(name, value.parse().unwrap());
        let answer = things.server.ask(sent).await;
        let error = &answer.json()["error"];
        assert_eq!(
            (answer.status.as_u16(), &error["code"]),
            (415, &json!("unsupported_media_type")),
            "{value}"
        );
        assert!(error["message"].as_str().unwrap().starts_with(name), "{error}");
        assert!(things.echo.seen.lock().is_none(), "{value}");
    }
}

#[tokio::test]
async fn a_list_or_a_map_may_stand_in_place_of_the_message_that_holds_it() {
    let things = Things::start().await;
    for (bare, whole) in [
        (r#"{"colours":["red"]}"#, r#"{"colours":{"values":["red"]}}"#),
        (r#"{"colours":[]}"#, r#"{"colours":{}}"#),
        (r#"{"marks":{"a":"1"}}"#, r#"{"marks":{"values":{"a":"1"}}}"#),
        (r#"{"marks":{}}"#, r#"{"marks":{"values":null}}"#),
        (r#"{"colours":null,"marks":null}"#, "{}"),
    ] {
        let told = things.asked("POST", "/admin/things", bare).await;
        assert_eq!(told, things.asked("POST", "/admin/things", whole).await, "{bare}");
    }
    assert_eq!(things.asked("POST", "/admin/things", r#"{"colours":[]}"#).await, json!({"colours": {}}));
    let named = things.asked("POST", "/admin/things", r#"{"marks":{"values":"1"}}"#).await;
    assert_eq!(named, json!({"marks": {"values": {"values": "1"}}}), "a mark of that name");
    for (body, field, text) in [
        (r#"{"colours":"red"}"#, "colours", "colours must be a list"),
        (r#"{"colours":["red",1]}"#, "colours[1]", "colours[1] must be a string"),
        (r#"{"colours":{"values":[1]}}"#, "colours.values[0]", "colours.values[0] must be a string"),
        (r#"{"colours":{"red":1}}"#, "colours.red", "there is no field colours.red"),
        (r#"{"marks":{"a":1}}"#, "marks.a", "marks.a must be a string"),
        (r#"{"marks":["a"]}"#, "marks", "marks must be an object"),
    ] {
        let refused = things.refused("POST", "/admin/things", body).await;
        assert_eq!((refused.0, refused.1, refused.2.as_str()), (400, json!(field), text), "{body}");
    }
    for (colours, field) in
        [(json!(["red", "glass"]), "colours[1]"), (json!({"values": ["red", "glass"]}), "colours.values[1]")]
    {
        let body = json!({"name": "faded", "colours": colours}).to_string();
        let error = things.ask("POST", "/admin/things", &body).await.json()["error"].clone();
        assert_eq!(
            (&error["param"], &error["message"]),
            (&json!(field), &json!(format!("{field} is no colour")))
        );
    }
}

#[tokio::test]
async fn a_fault_in_a_body_that_is_one_field_is_named_as_it_was_written() {
    let things = Things::start().await;
    for (path, body, field, text) in [
        ("/api/things", r#"{"names":"n"}"#, "names", "there is no field names"),
        ("/api/things", r#"{"size":"big"}"#, "size", "size must be a number"),
        ("/api/things", "7", "inner", "inner must be an object"),
        ("/api/things?inner.size=1", "{}", "inner.size", "inner.size belongs into the request body"),
    ] {
        let refused = things.refused("POST", path, body).await;
        assert_eq!((refused.0, refused.1, refused.2.as_str()), (400, json!(field), text), "{path} {body}");
    }
    for (path, field, text) in [
        ("/api/things?name=worn", "size", "size must not be name. See inner.wear, or dinner.size"),
        ("/api/things?name=lost", "name", "inner.size needs a name"),
    ] {
        let error = things.ask("POST", path, "{}").await.json()["error"].clone();
        assert_eq!((&error["param"], &error["message"]), (&json!(field), &json!(text)), "{path}");
    }
    let whole = things.ask("POST", "/admin/things", r#"{"name":"worn"}"#).await.json();
    assert_eq!(whole["error"]["param"], "inner.size", "there the body names it");
}

#[tokio::test]
async fn queries_say_what_path_and_body_do_not() {
    let things = Things::start().await;
    let query = "count=9007199254740993&most=7&sort=SORT_HARD&words=a+b&words=c%26d&is_heavy=true\
        &create_time=2026-01-31T12%3A00%3A00Z&life=1.5s&inner.name=i&inner.size=0.5&update_mask=is_heavy,inner.name\
        &weight=2.5&isHeavy=true&box=3&&";
    let asked = things.asked("GET", &format!("/admin/things/n?{query}"), "").await;
    let wanted = json!({"name": "n", "count": "9007199254740993", "most": 7, "sort": "SORT_HARD",
        "words": ["a b", "c&d"], "isHeavy": true, "createTime": "2026-01-31T12:00:00Z", "life": "1.500s",
        "inner": {"name": "i", "size": 0.5}, "updateMask": "isHeavy,inner.name", "weight": 2.5, "box": "3"});
    assert_eq!(asked, wanted);
    for (query, field, text) in [
        ("colour=red", "colour", "there is no field colour"),
        ("inner=x", "inner", "there is no field inner"),
        ("name.x=1", "name.x", "there is no field name.x"),
        ("name=other", "name", "name is given twice, and differs"),
        ("count=1&count=2", "count", "count is given twice, and differs"),
        ("most=many", "most", "most must be a whole number from 0 to 4294967295"),
        ("is_heavy=1", "is_heavy", "is_heavy must be true or false"),
        ("shelf=a&box=1", "box", "box and shelf exclude each other"),
        ("labels=x", "labels", "there is no field labels"),
    ] {
        let refused = things.refused("GET", &format!("/admin/things/n?{query}"), "").await;
        assert_eq!((refused.0, refused.1, refused.2.as_str()), (400, json!(field), text), "{query}");
    }
    let refused = things.refused("POST", "/admin/things?count=1", "{}").await;
    assert_eq!(refused.2, "count belongs into the request body");
}

#[tokio::test]
async fn answers_show_every_field_and_nothing_of_the_inside() {
    let things = Things::start().await;
    let answer = things.ask("GET", "/admin/things/n?count=5", "").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-frame-options"], "DENY");
    let shown = json!({"name": "n", "count": "5", "sort": "SORT_UNSPECIFIED", "words": [], "is_heavy": false,
        "secret": "", "picture": "", "labels": {}, "notes": {}, "parts": []});
    assert_eq!(answer.json(), shown);
    let inner = things.ask("PATCH", "/admin/things/n/inner", r#"{"name":"i"}"#).await;
    assert_eq!(inner.json(), json!({"name": "i", "size": 0.0}));
    let head = things.ask("HEAD", "/admin/things/n", "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn services_choose_status_cookies_and_place() {
    let things = Things::start().await;
    let made = things.ask("GET", "/admin/things/made", "").await;
    assert_eq!(made.status, 201);
    assert_eq!(made.headers["x-headgate-public"], "shown");
    assert!(!made.headers.contains_key("x-headgate-http-status") && !made.headers.contains_key("x-internal"));
    let gone = things.ask("DELETE", "/admin/things/gone", "").await;
    assert_eq!((gone.status.as_u16(), gone.body.len()), (204, 0));
    let cookies: Vec<_> = gone.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a=1; HttpOnly", "b=2; HttpOnly"]);
    let elsewhere = things.ask("GET", "/admin/things/elsewhere", "").await;
    assert_eq!(
        (elsewhere.status.as_u16(), &elsewhere.headers["location"]),
        (303, &"/there".parse().unwrap())
    );
    assert_eq!(things.ask("GET", "/admin/things/teapot", "").await.status, 500);
    let changed = things.ask("GET", "/admin/things/changed", "").await;
    assert_eq!((changed.status.as_u16(), &changed.json()["error"]["code"]), (409, &json!("conflict")));
    assert_eq!(changed.headers["set-cookie"], "a=; Max-Age=0");
    assert_eq!(changed.headers["etag"], "\"7\"");
    let file = things.ask("GET", "/admin/things:export", "").await;
    assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(file.body, "a,b\n1,2\n");
}

#[tokio::test]
async fn streams_are_events() {
    let things = Things::start().await;
    let answer = things.ask("GET", "/admin/things:watch?name=n", "").await;
    assert_eq!(answer.headers["content-type"], "text/event-stream; charset=utf-8");
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let events: Vec<Value> = text
        .split_terminator("\n\n")
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    assert_eq!(events.len(), 2);
    assert_eq!(events[1]["name"], "n");
    let broken = things.ask("GET", "/admin/things:watch?name=breaks", "").await;
    let text = String::from_utf8(broken.body.to_vec()).unwrap();
    assert!(text.ends_with("\n\n") && text.contains(r#""code":"conflict""#), "{text}");
    assert_eq!(text.matches("data: ").count(), 2, "{text}");
}

#[tokio::test]
async fn methods_that_a_path_does_not_have_are_told_with_those_it_has() {
    let things = Things::start().await;
    for (method, path, allowed) in [
        ("PATCH", "/admin/things/a", "DELETE, GET, HEAD"),
        ("GET", "/admin/things", "POST"),
        ("DELETE", "/admin/things/a/inner", ""),
    ] {
        let answer = things.ask(method, path, "").await;
        if allowed.is_empty() {
            assert_eq!(answer.status, 200, "it is the name a/inner");
            continue;
        }
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["allow"]),
            (405, &allowed.parse().unwrap()),
            "{path}"
        );
    }
    for path in [
        "/admin/things/",
        "/admin/nothing",
        "/admin/things:hide",
        "/headgate.things.v1.ThingService/HideThing",
    ] {
        assert_eq!(things.ask("POST", path, "{}").await.status, 404, "{path}");
    }
    assert!(
        things
            .server
            .metric(r#"headgate_edge_requests_total{route="/admin/things/{name=**}",status="200"} 1"#)
    );
}

#[tokio::test]
async fn services_learn_who_asks_and_nothing_that_a_client_made_up() {
    let things = Things::start().await;
    let mut sent = request("GET", "/admin/things/n", "");
    for (name, value) in [
        ("authorization", "Bearer t"),
        ("x-request-id", "r-1"),
        ("idempotency-key", "k"),
        ("user-agent", "curl/8"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-user-agent", "made up"),
        ("x-service-token", "made up"),
        ("grpc-timeout", "1n"),
    ] {
        sent.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(things.server.ask(sent).await.status, 200);
    let (metadata, _) = things.echo.seen.lock().take().unwrap();
    assert_eq!(metadata["authorization"], "Bearer t");
    assert_eq!(metadata["x-request-id"], "r-1");
    assert_eq!(metadata["idempotency-key"], "k");
    assert_eq!(metadata["x-forwarded-user-agent"], "curl/8");
    assert_eq!(metadata["x-forwarded-for"], "127.0.0.1");
    assert!(!metadata.contains_key("x-service-token"));
}

#[tokio::test]
async fn a_service_that_the_edge_is_not_told_of_is_named() {
    let contract = things::contract_with("");
    let server = Server::start_with(&contract, Services::new()).await;
    let answer = server.get("/admin/things/n").await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["error"]["message"], "this gateway has no connection to ThingService");
}

#[test]
fn rules_that_cannot_be_followed_are_refused_at_the_start() {
    let refused = |rule: &str| {
        let more = format!("  rpc More(Thing) returns (Thing) {{ option (google.api.http) = {rule}; }}\n");
        contract::bindings(&things::contract_with(&more)).unwrap_err()
    };
    for (rule, why) in [
        (r#"{get: "/admin/more/{nam}"}"#, "headgate.things.v1.Thing has no field nam"),
        (r#"{get: "/admin/more/{words}"}"#, "words is no single value"),
        (r#"{get: "/admin/more/{inner}"}"#, "inner is no single value"),
        (r#"{get: "admin"}"#, "must begin with a slash"),
        (r#"{get: "/admin/things/{secret=**}"}"#, "stands for"),
        (r#"{get: "/v1/models/{name}"}"#, "belongs to /v1/models/{id}"),
        (r#"{post: "/admin/more" body: "colour"}"#, "has no field colour"),
        (r#"{}"#, "has a rule without a path"),
    ] {
        let said = refused(rule);
        assert!(said.contains(why), "{rule}: {said}");
    }
    let peers = r#"  rpc More(Thing) returns (Thing) {
        option (google.api.http) = {get: "/admin/more"};
        option (headgate.common.v1.access) = {audience: AUDIENCE_PEER};
    }
"#;
    let said = contract::bindings(&things::contract_with(peers)).unwrap_err();
    assert!(said.contains("between services"), "{said}");
}

#[test]
fn our_own_contract_can_be_followed() {
    let contract = prost_reflect::DescriptorPool::decode(headgate_proto::FILE_DESCRIPTOR_SET).unwrap();
    let bindings = contract::bindings(&contract).unwrap();
    assert!(bindings.len() > 40, "{}", bindings.len());
}
