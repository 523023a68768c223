/** The pages about templates. */
import "./template-page";
import "./templates-page";
