import { usePreferences } from "@notification-hub/react";

export function EmailSwitch() {
  const { preferences, store } = usePreferences();
  const email = preferences?.channels.find(({ channel }) => channel === "EMAIL");
  if (!email) return null; // the preferences are not loaded, or the hub sends no emails
  return (
    <label>
      <input
        type="checkbox"
        checked={email.enabled}
        onChange={(event) => store.switchChannel("EMAIL", event.target.checked)}
      />
      Email
    </label>
  );
}
