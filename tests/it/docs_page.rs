//! `/docs` in a real browser: a stranger sets up a tenant with a provider, a model, a key and a budget, and is answered.

use std::time::Duration;

use headgate_tests::chromium::Chromium;
use headgate_tests::cluster::Headgate;
use headgate_tests::setup::Setup;
use headgate_tests::topology::told;
use serde_json::{Value, json};

/// Names a folder that pictures of the page are put into, for people who want to see it.
const PICTURES: &str = "HEADGATE_TEST_PICTURES";
const PASSWORD: &str = "correct horse battery staple";
/// The steps of the page, by the calls that they fill in.
const STEPS: [&str; 6] = [
    "TenantService_CreateTenant",
    "ProviderService_CreateProvider",
    "ModelService_CreateModel",
    "ApiKeyService_CreateApiKey",
    "BudgetService_SetBudget",
    "createChatCompletion",
];

/// A browser that shows the page of a gate with a super admin.
struct Visit {
    headgate: Headgate,
    browser: Chromium,
}

impl Visit {
    async fn begin(width: u32) -> Self {
        let root = json!({"email": "root@example.com", "password": PASSWORD});
        let setup = Setup::new().seed("admin_users", root);
        let headgate = Headgate::start(&setup).await;
        let mut browser = Chromium::start(width, 900).await;
        browser.open(&format!("{}/docs", origin(&headgate))).await;
        browser.until("document.querySelectorAll('details.operation').length > 40").await;
        Self { headgate, browser }
    }

    async fn log_in(&mut self) {
        let fill = format!(
            "(() => {{ const login = document.getElementById('login'); login.open = true; \
             const [email, password] = login.querySelectorAll('input'); \
             email.value = 'root@example.com'; password.value = {PASSWORD:?}; \
             document.getElementById('log-in').click(); }})()"
        );
        self.browser.evaluate(&fill).await;
        self.browser.until("document.getElementById('who').textContent.includes('root@example.com')").await;
    }

    /// Takes a step, and sends it again until it is answered well: what it needs may not have come round yet.
    async fn take(&mut self, call: &str) -> String {
        self.browser.evaluate(&format!("document.querySelector('[data-call={call}] button').click()")).await;
        let answer = format!("document.querySelector('#{call} .answer')");
        for _ in 0..300 {
            self.browser.evaluate(&format!("document.querySelector('#{call} button.send').click()")).await;
            self.browser.until(&format!("/^[0-9]/.test({answer}.textContent)")).await;
            let text = self.text(&format!("{answer}.textContent")).await;
            if !["404", "503"].contains(&&text[..3]) {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{call} is not answered");
    }

    async fn text(&mut self, expression: &str) -> String {
        self.browser.evaluate(expression).await.as_str().unwrap_or_default().to_owned()
    }

    async fn picture(&mut self, name: &str) {
        if let Some(folder) = told(PICTURES) {
            let picture = self.browser.screenshot().await;
            std::fs::write(format!("{folder}/{name}.png"), picture).unwrap();
        }
    }

    /// Checks that nothing was asked of anybody else, and nothing went wrong unseen.
    async fn end(self) {
        let own = origin(&self.headgate);
        let is_own = |url: &String| url.starts_with(&own) || url.starts_with("data:");
        let foreign: Vec<_> = self.browser.requests().into_iter().filter(|url| !is_own(url)).collect();
        assert!(foreign.is_empty(), "{foreign:?}");
        let complaints = self.browser.complaints();
        // What is not known everywhere yet is answered with 404 or 503, of which a browser complains by itself.
        let ours: Vec<_> =
            complaints.into_iter().filter(|text| !text.contains("Failed to load resource")).collect();
        assert!(ours.is_empty(), "{ours:?}");
        self.browser.close().await;
    }
}

fn origin(headgate: &Headgate) -> String {
    format!("http://{}", headgate.listeners().edge)
}

#[tokio::test]
async fn a_stranger_gets_from_nothing_to_a_first_answer() {
    let mut visit = Visit::begin(1280).await;
    visit.picture("top").await;
    visit.log_in().await;
    for call in STEPS {
        let answer = visit.take(call).await;
        assert!(answer.starts_with("20"), "{call}: {answer}\n{}", visit.headgate.logs());
        visit.picture(call).await;
        visit
            .browser
            .until(&format!("document.querySelector('[data-call={call}]').classList.contains('done')"))
            .await;
    }
    let answer = visit.text("document.querySelector('#createChatCompletion .answer').textContent").await;
    assert!(answer.contains("chat.completion") && answer.contains("Hello!"), "{answer}");
    let key = visit.text("document.getElementById('key').value").await;
    let models = visit.headgate.anonymous().with_key(&key).get("/v1/models").await.expect(200).json();
    assert_eq!(models["data"][0]["id"], "hello");
    let budget = visit.headgate.anonymous().with_key(&visit.headgate.operator_token());
    let budget = budget.get("/admin/tenants/hello/budget").await.expect(200).json();
    assert_eq!(budget["status"]["budget"]["limit_usd"], "10.00");
    visit.end().await;
}

#[tokio::test]
async fn calls_are_found_by_words_and_by_whom_they_answer_and_say_what_is_missing() {
    let mut visit = Visit::begin(1280).await;
    let shown = "[...document.querySelectorAll('details.operation')].filter((box) => box.offsetParent).map((box) => box.id)";
    let narrowed = |search: &str, audience: &str| {
        format!(
            "(() => {{ const [search, audience] = ['search', 'audience'].map((id) => document.getElementById(id)); \
             search.value = {search:?}; search.dispatchEvent(new Event('input')); \
             audience.value = {audience:?}; audience.dispatchEvent(new Event('change')); return {shown}; }})()"
        )
    };
    // By another path of the call.
    let found = visit.browser.evaluate(&narrowed("/admin/orgs/lookup", "")).await;
    assert_eq!(found, json!(["TenantService_LookupTenants"]));
    let owners = visit.browser.evaluate(&narrowed("", "owner")).await;
    let owners: Vec<&str> = owners.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(owners.contains(&"MembershipService_CreateMembership"), "{owners:?}");
    assert!(owners.iter().all(|id| id.starts_with("MembershipService_")), "{owners:?}");
    assert_eq!(visit.browser.evaluate(&narrowed("no such call", "")).await, json!([]));
    assert_eq!(
        visit.browser.evaluate("document.getElementById('nothing').offsetParent !== null").await,
        true
    );

    visit.browser.evaluate(&narrowed("", "")).await;
    visit.browser.evaluate("document.querySelector('#TenantService_GetTenant summary').click()").await;
    visit.browser.until("document.querySelector('#TenantService_GetTenant button.send')").await;
    visit.browser.evaluate("document.querySelector('#TenantService_GetTenant button.send').click()").await;
    visit
        .browser
        .until("document.querySelector('#TenantService_GetTenant .hint').textContent === 'Fill in id.'")
        .await;

    // The budget of a key is at another path of the same call.
    visit.browser.evaluate("document.querySelector('#BudgetService_SetBudget summary').click()").await;
    visit.browser.until("document.querySelector('#BudgetService_SetBudget button.other')").await;
    visit.browser.evaluate("document.querySelector('#BudgetService_SetBudget button.other').click()").await;
    visit.browser.until("document.querySelector('#BudgetService_SetBudget input[aria-label=key_id]')").await;
    visit.picture("other-path").await;
    visit.end().await;
}

#[tokio::test]
async fn the_page_fits_a_narrow_screen() {
    let mut visit = Visit::begin(380).await;
    visit.picture("narrow").await;
    visit.log_in().await;
    let answer = visit.take(STEPS[0]).await;
    assert!(answer.starts_with("200"), "{answer}");
    visit.picture("narrow-call").await;
    let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(visit.browser.evaluate(overflow).await, 0, "it scrolls sideways");
    visit.end().await;
}
