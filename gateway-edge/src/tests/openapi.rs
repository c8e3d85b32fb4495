use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::server::{Server, request};
use super::things::{self, Echo, PACKAGE};
use crate::{Config, Services};

const COUNTS: &str = "Counts things. Slowly.\n\nAnswers who is admin or more in the tenant, super admins and the operator token.";

async fn server(more: &str) -> Server {
    let contract = things::contract_with(more);
    let services = Services::from([(PACKAGE, Echo::new(&contract).conn())]);
    Server::start_with(&contract, services).await
}

async fn document(more: &str) -> Value {
    server(more).await.get("/openapi.json").await.json()
}

fn named<'a>(parameters: &'a Value, name: &str) -> &'a Value {
    parameters.as_array().unwrap().iter().find(|parameter| parameter["name"] == name).expect(name)
}

#[tokio::test]
async fn a_new_call_is_served_and_documented_from_its_proto_alone() {
    let more = r#"
  // Counts things. Slowly.
  rpc CountThings(Thing) returns (Thing) {
    option (google.api.http) = {get: "/admin/things/{name}/count"};
    option (headgate.common.v1.access) = {audience: AUDIENCE_TENANT, role: ROLE_ADMIN};
  }
"#;
    let before = document("").await;
    assert_eq!(before["paths"]["/admin/things/{name}/count"], Value::Null);
    let server = server(more).await;
    let answer = server.get("/admin/things/n/count").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["name"]), (200, &json!("n")));
    let operation = &server.get("/openapi.json").await.json()["paths"]["/admin/things/{name}/count"]["get"];
    assert_eq!(operation["operationId"], "ThingService_CountThings");
    assert_eq!((&operation["summary"], &operation["description"]), (&json!("Counts things"), &json!(COUNTS)));
    assert_eq!(operation["x-headgate-access"], json!({"audience": "AUDIENCE_TENANT", "role": "ROLE_ADMIN"}));
}

#[tokio::test]
async fn operations_say_what_they_take_and_give() {
    let document = document("").await;
    let paths = &document["paths"];
    let create = &paths["/admin/things"]["post"];
    assert_eq!(create["tags"], json!(["ThingService"]));
    assert_eq!(create["x-headgate-access"], json!({"audience": "AUDIENCE_SUPER_ADMIN"}));
    assert_eq!(create["security"], json!([{"token": []}, {"session": []}]));
    let body = &create["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(
        (&body["additionalProperties"], &body["properties"]["name"]["type"]),
        (&json!(false), &json!("string"))
    );
    assert_eq!(body["properties"]["count"]["format"], "int64");
    assert_eq!(body["properties"]["count"]["description"], "How many there are.");
    assert_eq!(body["properties"]["secret"]["format"], "password");
    assert_eq!(
        body["properties"]["labels"]["additionalProperties"]["$ref"],
        "#/components/schemas/things.v1.Inner"
    );
    assert_eq!(
        create["responses"]["2XX"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/things.v1.Thing"
    );
    assert_eq!(create["responses"]["409"]["$ref"], "#/components/responses/Error");

    let schemas = &document["components"]["schemas"];
    let colours = &schemas["things.v1.Colours"];
    let values = &colours["anyOf"][1]["properties"]["values"];
    assert_eq!(
        (&colours["anyOf"][0]["type"], &values["type"]),
        (&json!("array"), &json!("array")),
        "{colours}"
    );
    assert_eq!(schemas["things.v1.Marks"]["anyOf"][0]["additionalProperties"], json!({"type": "string"}));

    assert!(create["responses"]["204"].is_null());
    let forget = &paths["/admin/things:forget"]["post"]["responses"];
    assert!(forget["204"]["description"].is_string() && forget["204"]["content"].is_null(), "{forget}");

    let get = &paths["/admin/things/{name}"]["get"];
    assert!(get["requestBody"].is_null());
    let name = named(&get["parameters"], "name");
    assert_eq!((&name["in"], &name["required"]), (&json!("path"), &json!(true)));
    assert_eq!(name["description"], "What it is called. May hold slashes.");
    assert_eq!(named(&get["parameters"], "words")["schema"]["type"], "array");
    assert_eq!(named(&get["parameters"], "inner.size")["schema"]["type"], "number");
    assert_eq!(named(&get["parameters"], "create_time")["schema"]["format"], "date-time");
    let sort = named(&get["parameters"], "sort")["schema"]["$ref"].as_str().unwrap();
    assert_eq!(sort, "#/components/schemas/things.v1.Sort");
    let sort = &document["components"]["schemas"]["things.v1.Sort"];
    assert_eq!(sort["enum"], json!(["SORT_UNSPECIFIED", "SORT_HARD"]));

    let inner = paths["/admin/inner-things/{name}/{count}"]["get"]["parameters"].as_array().unwrap();
    let called = |name| inner.iter().filter(|parameter| parameter["name"] == name).collect::<Vec<_>>();
    assert_eq!(called("name").len(), 1, "the path's `inner.name`, and no other");
    assert_eq!((&called("name")[0]["in"], called("inner.size").len()), (&json!("path"), 1));

    let turn = &paths["/admin/things/{name}:turn"]["post"];
    let body = &turn["requestBody"]["content"]["application/json"]["schema"]["properties"];
    assert!(body["name"].is_null() && body["count"].is_object(), "{body}");
    let watch = &paths["/admin/things:watch"]["get"];
    assert_eq!(watch["security"], json!([]));
    assert!(watch["responses"]["2XX"]["content"]["text/event-stream"].is_object());
    assert!(paths["/admin/things:export"]["get"]["responses"]["2XX"]["content"]["*/*"].is_object());
    let tag = json!({"name": "ThingService", "description": "Keeps things. For tests."});
    assert!(document["tags"].as_array().unwrap().contains(&tag));
}

#[tokio::test]
async fn every_operation_has_an_id_of_its_own_and_every_path_one_shape() {
    let rules = r#"
  // By id.
  rpc PutThing(Thing) returns (Thing) {
    option (google.api.http) = {
      put: "/admin/things/{box}"
      body: "inner"
    };
  }
"#;
    let document = document(rules).await;
    let (mut ids, mut shapes) = (BTreeSet::new(), BTreeSet::new());
    for (path, verbs) in document["paths"].as_object().unwrap() {
        let shape: Vec<_> =
            path.split('/').map(|part| if part.ends_with('}') { "{}" } else { part }).collect();
        assert!(shapes.insert(shape.join("/")), "{path}");
        for operation in verbs.as_object().unwrap().values() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
        }
    }
    assert!(ids.contains("ThingService_CreateThing_2"), "{ids:?}");
    assert!(document["paths"]["/admin/things/{box_or_name}"]["put"].is_object());
}

#[tokio::test]
async fn the_document_is_not_sent_to_whoever_has_it() {
    let server = server("").await;
    let first = server.get("/openapi.json").await;
    assert_eq!(first.headers["content-type"], "application/json");
    let mut again = request("GET", "/openapi.json", "");
    again.headers_mut().insert("if-none-match", first.headers["etag"].clone());
    let again = server.ask(again).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let other = Server::start(Config::default()).await.get("/openapi.json").await;
    assert_ne!(other.headers["etag"], first.headers["etag"]);
    assert_eq!(other.json()["paths"]["/admin/tenants"], Value::Null, "it is connected to nobody");
    assert!(other.json()["paths"]["/v1/chat/completions"]["post"].is_object());
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let server = server("").await;
    for (path, content_type) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/page.js", "text/javascript; charset=utf-8"),
        ("/docs/page.css", "text/css; charset=utf-8"),
    ] {
        let part = server.get(path).await;
        assert_eq!(
            (part.status.as_u16(), &part.headers["content-type"]),
            (200, &content_type.parse().unwrap())
        );
        assert!(part.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        let text = String::from_utf8(part.body.to_vec()).unwrap();
        assert!(!text.contains("//cdn") && !text.contains("https://") && !text.contains("http://"), "{path}");
    }
    assert_eq!(server.ask(request("POST", "/docs", "{}")).await.status, 405);
}
