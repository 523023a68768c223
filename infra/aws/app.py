"""The CDK app. docs/operations/deploy-on-aws.md describes it. `make infra-aws` synthesizes it without an account."""

from aws_cdk import App, DefaultStackSynthesizer, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from infra.aws.alarms import Alarms
from infra.aws.config import read_config
from infra.aws.hub import Hub
from infra.aws.intake import Intake
from infra.aws.network import Network
from infra.aws.stores import Stores


def build(app: App) -> None:
    """Add the stacks to the app. Raise ContextError if a context value is missing or not valid."""
    config = read_config(app.node)

    def synthesizer() -> DefaultStackSynthesizer:
        return DefaultStackSynthesizer(generate_bootstrap_version_rule=False)

    network = Network(app, "HubNetwork", synthesizer=synthesizer())
    stores = Stores(app, "HubStores", network, config, synthesizer=synthesizer())
    queues = Intake(app, "HubIntake", config.events, synthesizer=synthesizer()) if config.events else None
    hub = Hub(app, "Hub", network, stores, queues, config, synthesizer=synthesizer())
    Alarms(app, "HubAlarms", hub, stores, queues, config, synthesizer=synthesizer())
    Tags.of(app).add("application", "notification-hub")
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


if __name__ == "__main__":
    app = App()
    build(app)
    app.synth()
