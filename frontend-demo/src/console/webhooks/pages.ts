/** The pages about webhooks. */
import "./webhook-page";
import "./webhooks-page";
