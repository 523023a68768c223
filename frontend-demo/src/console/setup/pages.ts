/** The pages about topics, categories, suppressions, service keys, and the tenant. */
import "./categories-page";
import "./category-page";
import "./keys-page";
import "./suppressions-page";
import "./tenant-page";
import "./topic-page";
import "./topics-page";
