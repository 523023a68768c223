/** The pages about rules and events. */
import "./event-page";
import "./events-page";
import "./rule-page";
import "./rules-page";
