/** The page that sends. */
import "./compose-page";
