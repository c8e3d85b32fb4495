// The steps from nothing to a first answer, as a newcomer takes them. Each fills in one call; whoever reads sends it.

// What later steps need of earlier ones: what they propose, until an answer says otherwise.
const known = { tenant: "hello", provider: "hello-echo", model: "hello" };

const STEPS = [
  {
    call: "TenantService_CreateTenant",
    title: "A tenant",
    text: "The organisation, team or project that owns keys and is billed.",
    body: () => ({ name: "Hello", id: known.tenant }),
    learn: (told) => { known.tenant = told.tenant.id; },
  },
  {
    call: "ProviderService_CreateProvider",
    title: "A provider",
    text: "Who runs models. The built-in echo says back what it is told and needs no account. For another give `PROVIDER_KIND_OPENAI`, its `base_url` and its `api_key`.",
    body: () => ({ name: "Hello echo", id: known.provider, kind: "PROVIDER_KIND_ECHO" }),
    learn: (told) => { known.provider = told.provider.id; },
  },
  {
    call: "ModelService_CreateModel",
    title: "A model",
    text: "The name that requests ask for, what it costs, and where it runs. `upstream_model` is its name at the provider.",
    body: () => ({
      name: known.model,
      enabled: true,
      operations: ["OPERATION_CHAT"],
      price: { input_nano_usd_per_1k_tokens: "100000", output_nano_usd_per_1k_tokens: "200000" },
      targets: [{ provider_id: known.provider, upstream_model: "echo", weight: 1 }],
      max_output_tokens: 1000,
      context_tokens: 8000,
    }),
    learn: (told) => { known.model = told.model.name; },
  },
  {
    call: "ApiKeyService_CreateApiKey",
    title: "An API key",
    text: "For the programs of the tenant. The answer shows it once; this page puts it into the field at the top.",
    path: () => known.tenant,
    body: () => ({ name: "first" }),
    learn: (told) => { find("key").value = told.secret_key; },
  },
  {
    call: "BudgetService_SetBudget",
    title: "A budget",
    text: "What the tenant may spend in a month. Requests beyond it are refused.",
    path: () => known.tenant,
    body: () => ({ window: "BUDGET_WINDOW_CALENDAR_MONTH", limit_usd: "10.00" }),
    learn: () => {},
  },
  {
    call: "createChatCompletion",
    title: "The first request",
    text: "As any OpenAI client sends it, with the API key. The model may take a second to be known everywhere.",
    body: () => ({ model: known.model, messages: [{ role: "user", content: "Hello!" }] }),
    learn: () => {},
  },
];

// What an answer tells for the steps after it, the next of which it leads to.
function learn(call, told, next) {
  const at = STEPS.findIndex((step) => step.call === call.replace(/_\d+$/, ""));
  if (at < 0 || !told) return;
  STEPS[at].learn(told);
  STEPS[at].row.classList.add("done");
  const after = STEPS.slice(at + 1).find((step) => step.row);
  next.textContent = "";
  next.className = "";
  next.append(after ? proposal(after, `Next: ${after.title}`) : "That is all it takes.");
}

// Opens a call with what a step proposes.
function propose(step) {
  const box = document.getElementById(step.call);
  box.classList.remove("hidden");
  fill(box, box.call);
  box.open = true;
  if (box.trial.body) {
    box.trial.body.value = JSON.stringify(step.body(), null, 2);
    fitted(box.trial.body);
  }
  const inPath = box.rows.filter(({ parameter }) => parameter.in === "path");
  if (step.path) inPath.forEach(({ input }) => { input.value = step.path(); });
  box.trial.box.scrollIntoView({ block: "center" });
  box.trial.button.focus({ preventScroll: true });
}

function proposal(step, text) {
  const button = make("button", { type: "button" }, text);
  button.addEventListener("click", () => propose(step));
  return button;
}

function showSteps() {
  const served = STEPS.filter((step) => document.getElementById(step.call));
  const list = make("ol", { class: "steps" });
  for (const step of served) {
    const text = make("div", {}, make("strong", {}, step.title), prose(step.text));
    step.row = make("li", { "data-call": step.call }, text, proposal(step, "Fill in"));
    list.append(step.row);
  }
  const before = "First of all log in at the top, or paste the operator token: it is made on the first start and lies in the file `operator.token` of the data folder. Then fill in a step, look at it, press Send, and go on to the next.";
  find("start").append(make("h2", {}, "From nothing to a first answer"), prose(before), list);
}

// Who logs in gets an access token, which goes where tokens go.
function showLogin() {
  if (!document.getElementById("SessionService_Login")) return;
  const login = find("login");
  login.classList.remove("hidden");
  const email = make("input", { "aria-label": "e-mail address", placeholder: "e-mail address", autocomplete: "username" });
  const password = make("input", { "aria-label": "password", placeholder: "password", type: "password", autocomplete: "current-password" });
  const button = make("button", { type: "button", id: "log-in" }, "Log in");
  const told = find("who");
  button.addEventListener("click", async () => {
    const body = JSON.stringify({ email: email.value, password: password.value });
    try {
      const answer = await sent("POST", "/auth/login", { "content-type": "application/json" }, body);
      told.textContent = answer.ok ? `You are ${answer.json.user.email}.` : answer.json?.error?.message || "It failed.";
      if (answer.ok) {
        find("token").value = answer.json.tokens.access_token;
        password.value = "";
        login.open = false;
      }
    } catch (cause) {
      told.textContent = String(cause);
    }
  });
  password.addEventListener("keydown", (event) => { if (event.key === "Enter") button.click(); });
  login.append(make("div", {}, email, password, button));
}
