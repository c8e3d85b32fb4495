//! Drives a book line by line: over gRPC, and over REST as often as it takes to ask at every path.

use std::time::{Duration, Instant};

use headgate_tests::cluster::Headgate;
use headgate_tests::dynamic;
use headgate_tests::setup::{KEY, Setup};
use serde_json::Value;

use super::table::Line;
use super::variables::Variables;
use super::{grpc, pattern, rest};

/// How long what comes soon may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// How a line is asked.
#[derive(Clone, Copy, Debug)]
enum Way {
    Grpc,
    /// At the path of this number, or its last.
    Rest(usize),
}

/// What came of a line.
struct Outcome {
    told: Value,
    /// Where it is not what the line says.
    fault: Option<String>,
}

/// Drives every line over gRPC and at each of its paths, each time on a deployment of its own.
pub(super) async fn drive(lines: &[Line], setup: &Setup, known: &[(&str, String)]) {
    let by_grpc = pass(lines, setup, known, Way::Grpc).await;
    let passes = lines.iter().map(|line| line.paths.len()).max().unwrap_or_default();
    for at in 0..passes {
        let by_rest = pass(lines, setup, known, Way::Rest(at)).await;
        for ((line, grpc), rest) in lines.iter().zip(&by_grpc).zip(&by_rest) {
            let (Some(grpc), Some(rest)) = (grpc, rest) else { continue };
            assert_eq!(pattern::shape(rest), pattern::shape(grpc), "REST and gRPC: {}", line.title());
        }
    }
}

/// The answers to all lines, in their order; none where the two ways need not agree.
async fn pass(lines: &[Line], setup: &Setup, known: &[(&str, String)], way: Way) -> Vec<Option<Value>> {
    let headgate = Headgate::start(setup).await;
    let mut variables = Variables::default();
    variables.set("operator", headgate.operator_token().into());
    variables.set("key", KEY.into());
    for (name, value) in known {
        variables.set(name, value.clone().into());
    }
    let (mut answers, mut faults) = (Vec::new(), Vec::new());
    for line in lines {
        if !is_for(line, way) {
            answers.push(None);
            continue;
        }
        let outcome = match line.needs(&variables) {
            Some(name) => Outcome { told: Value::Null, fault: Some(format!("no line before kept {name}")) },
            None => asked(&headgate, line, way, &variables).await,
        };
        for (name, path) in line.keeps.iter().filter(|_| outcome.fault.is_none()) {
            variables.keep(name, path, &outcome.told);
        }
        if let Some(fault) = outcome.fault {
            faults.push(format!("{fault}\n  at {}\n  told {}", line.title(), outcome.told));
        }
        let comparable = line.rest.is_none() && line.grpc.is_none() && line.fails.is_none();
        answers.push(comparable.then_some(outcome.told));
    }
    assert!(faults.is_empty(), "{way:?}: {} lines are not as they say:\n{}", faults.len(), faults.join("\n"));
    answers
}

fn is_for(line: &Line, way: Way) -> bool {
    let can_ask = match way {
        Way::Grpc => line.call.is_some(),
        Way::Rest(_) => !line.paths.is_empty(),
    };
    can_ask && line.elsewhere.is_none()
}

/// What comes of a line, which may take a while where it says so.
async fn asked(headgate: &Headgate, line: &Line, way: Way, variables: &Variables) -> Outcome {
    let ask = async || match way {
        Way::Grpc => over_grpc(headgate, line, variables).await,
        Way::Rest(at) => over_rest(headgate, line, at, variables).await,
    };
    let start = Instant::now();
    loop {
        let outcome = ask().await;
        if outcome.fault.is_none() || !line.soon || start.elapsed() > SOON {
            return outcome;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn over_grpc(headgate: &Headgate, line: &Line, variables: &Variables) -> Outcome {
    let call = line.full_call().expect("a call");
    let streams = dynamic::method(&call).is_server_streaming();
    let answer = match grpc::ask(headgate, line, &call, variables).await {
        Ok(answer) => answer,
        Err(status) => {
            let (fails, field) = grpc::fault(&status);
            let as_said =
                Some(&fails) == line.fails.as_ref() && (line.field.is_none() || field == line.field);
            let fault = (!as_said).then(|| format!("it fails with {fails} at {field:?}"));
            return Outcome { told: status.message().into(), fault };
        }
    };
    let told = grpc::told(&answer, streams);
    let said = answer.metadata.get("x-headgate-http-status").and_then(|status| status.to_str().ok());
    let cookies = answer.metadata.get_all("set-cookie").iter();
    let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()).map(str::to_owned).collect();
    let mut fault =
        with_side(line, line.grpc.as_ref().and_then(|side| side.tells.as_ref()), &told, variables);
    if said.is_some_and(|said| said != line.status.to_string()) {
        fault = Some(format!("its status is {said:?}"));
    }
    Outcome { fault: fault.or_else(|| missing_cookie(line, cookies)), told }
}

async fn over_rest(headgate: &Headgate, line: &Line, at: usize, variables: &Variables) -> Outcome {
    let path = &line.paths[at.min(line.paths.len() - 1)];
    let reply = rest::ask(&headgate.anonymous(), line, path, variables).await;
    let told = rest::told(&reply);
    let cookies = reply.headers.get_all("set-cookie").iter();
    let cookies = cookies.filter_map(|cookie| cookie.to_str().ok()).map(str::to_owned).collect();
    let fault = if reply.status != line.status {
        Some(format!("{path} answers {}", reply.status))
    } else if line.fails.is_some() {
        wrong_error(line, &told)
    } else {
        let own = line.rest.as_ref().and_then(|side| side.tells.as_ref());
        with_side(line, own, &told, variables).or_else(|| missing_cookie(line, cookies))
    };
    Outcome { told, fault }
}

/// Where an answer is not what the line says, or its own side of it.
fn with_side(line: &Line, own: Option<&Value>, told: &Value, variables: &Variables) -> Option<String> {
    if line.fails.is_some() {
        return Some("it does not fail".to_owned());
    }
    let Some(expected) = own.or(line.tells.as_ref()) else {
        return Some("the line says no answer".to_owned());
    };
    pattern::check(&variables.filled(expected), told).err()
}

/// Where an error is not OpenAI's, or not at the field that the line says.
fn wrong_error(line: &Line, told: &Value) -> Option<String> {
    let error = serde_json::json!({"message": "<text>", "type": "<text>", "param": "<any>", "code": "<any>"});
    let shape = serde_json::json!({"error": error, "request_id": "<text>"});
    let field = told["error"]["param"].as_str();
    let fault = pattern::check(&shape, told).err();
    // A body that is one field does not name it.
    let within = line.body.as_ref().map(|body| format!("{body}."));
    let written = |field: &str| {
        let rest = within.as_ref().and_then(|within| field.strip_prefix(within));
        rest.unwrap_or(field).to_owned()
    };
    let expected = line.field.as_deref().map(written);
    fault.or_else(|| {
        (expected.is_some() && field != expected.as_deref()).then(|| format!("it is at {field:?}"))
    })
}

fn missing_cookie(line: &Line, set: Vec<String>) -> Option<String> {
    let missing = |name: &&String| !set.iter().any(|cookie| cookie.starts_with(&format!("{name}=")));
    line.cookies.iter().find(missing).map(|name| format!("it does not set the cookie {name}: {set:?}"))
}
