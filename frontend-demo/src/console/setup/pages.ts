/** The pages about topics, categories, suppressions, and service keys. */
import "./categories-page";
import "./category-page";
import "./keys-page";
import "./suppressions-page";
import "./topic-page";
import "./topics-page";
