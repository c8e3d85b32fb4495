//! When budgets are to start anew, and that they do so by calendar month meanwhile.

use headgate_kit::fetch;
use pb::BudgetWindow::{self, CalendarMonth, RollingDays, Unspecified, Week};

use super::*;

on_both_engines!(
    the_window_that_was_set_is_kept_and_the_month_is_counted,
    a_window_is_named_well_or_refused,
    rows_of_the_version_before_are_months,
);

fn windowed(window: BudgetWindow, rolling_days: u32) -> pb::Budget {
    let (scope, window) = (Some(key()), window.into());
    pb::Budget { scope, window, rolling_days, limit_nano_usd: CENT, ..Default::default() }
}

fn shown(budget: Option<pb::Budget>) -> (BudgetWindow, u32) {
    let budget = budget.unwrap();
    (budget.window(), budget.rolling_days)
}

async fn the_window_that_was_set_is_kept_and_the_month_is_counted(db: TestDb) {
    let clock = clock();
    let mut service = Service::start(&db, &clock).await;
    let month = service.budget.engine.months().at(clock.unix_millis());
    let mut etags = Vec::new();
    for (window, days) in [(Unspecified, 0), (Week, 0), (RollingDays, 1), (RollingDays, 366)] {
        let set = service.set(windowed(window, days), "").await.unwrap();
        let wanted = if window == Unspecified { (CalendarMonth, 0) } else { (window, days) };
        assert_eq!(shown(set.budget.clone()), wanted);
        assert_eq!((set.window_start_unix_ms, set.window_end_unix_ms), (month.start, month.end));
        assert!(!etags.contains(&set.etag), "another window is another budget");
        etags.push(set.etag.clone());
        service.stop().await;
        service = Service::start(&db, &clock).await;
        assert_eq!(service.status(key()).await, set, "over a restart");
    }
    // It holds, and tells so of the window that was set.
    let answer = service.admission().admit(service.request(1, 2 * CENT)).await.unwrap().into_inner();
    assert!(matches!(answer.outcome, Some(Decision::Refused(_))));
    assert_eq!(shown(answer.budget.unwrap().budget), (RollingDays, 366));

    // Replicas of the version before read nothing else.
    let kinds: Vec<String> = fetch!(service.budget.store.db.read(), pool => {
        sqlx::query_scalar("SELECT window_kind FROM budgets").fetch_all(pool)
    })
    .unwrap();
    assert_eq!(kinds, ["calendar_month"]);
}

async fn a_window_is_named_well_or_refused(db: TestDb) {
    let service = Service::start(&db, &clock()).await;
    let set = service.set(windowed(Week, 0), "").await.unwrap();
    for (window, days, field) in [
        (RollingDays.into(), 0, "budget.rolling_days"),
        (RollingDays.into(), 367, "budget.rolling_days"),
        (Week.into(), 7, "budget.rolling_days"),
        (CalendarMonth.into(), 1, "budget.rolling_days"),
        (Unspecified.into(), 1, "budget.rolling_days"),
        (99, 0, "budget.window"),
    ] {
        let bad = pb::Budget { window, ..windowed(Week, days) };
        let refused = Failure::from_status(&service.set(bad, "").await.unwrap_err());
        assert_eq!(
            (refused.reason, refused.metadata["field"].as_str()),
            (ErrorReason::InvalidRequest, field)
        );
        let request = pb::SetDefaultBudgetRequest {
            budget: Some(pb::Budget { scope: None, window, ..windowed(Week, days) }),
            ..Default::default()
        };
        let refused = Failure::from_status(&service.budgets().set_default_budget(request).await.unwrap_err());
        assert_eq!(refused.metadata["field"], field);
    }
    assert_eq!(service.status(key()).await, set);
}

async fn rows_of_the_version_before_are_months(db: TestDb) {
    let clock = clock();
    let service = Service::start(&db, &clock).await;
    service.stop().await;
    let columns =
        "scope_kind, scope_id, window_kind, limit_nano_usd, warning_percent, updated_at_unix_ms, revision";
    let row = "('key', 'key', 'calendar_month', 5, 80, 0, 1)";
    db.run("budget", &format!("INSERT INTO budgets ({columns}) VALUES {row}")).await;
    let service = Service::start(&db, &clock).await;
    let status = service.status(key()).await;
    assert_eq!(shown(status.budget.clone()), (CalendarMonth, 0));
    assert_eq!(status.budget.unwrap().limit_nano_usd, 5);
}
