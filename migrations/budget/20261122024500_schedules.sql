-- When a budget starts anew: calendar_month, weekly, or rolling_Nd. window_kind stays calendar_month whatever this says: it
-- is what is enforced for now, and replicas of the version before read budgets of that kind only; one of another would hold
-- nobody back there.
ALTER TABLE budgets ADD COLUMN schedule TEXT NOT NULL DEFAULT 'calendar_month';
