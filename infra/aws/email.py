"""The identity of Amazon SES, and the topic on which SES publishes bounces, complaints, and deliveries."""

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_ses as ses
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.aws.permissions import sender_domain

PUBLISHED = (
    ses.EmailSendingEvent.BOUNCE,
    ses.EmailSendingEvent.COMPLAINT,
    ses.EmailSendingEvent.DELIVERY,
    ses.EmailSendingEvent.REJECT,
)


class Email(Construct):
    """The DNS records of DKIM are outputs. The hub confirms the subscription to the topic by itself."""

    def __init__(self, scope: Construct, id: str, sender: str) -> None:
        super().__init__(scope, id)
        domain = sender_domain(sender)
        self.topic = sns.Topic(self, "Topic", enforce_ssl=True)
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("ses.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"AWS:SourceAccount": Stack.of(self).account}},
            )
        )
        configuration = ses.ConfigurationSet(
            self, "Configuration", tls_policy=ses.ConfigurationSetTlsPolicy.REQUIRE, reputation_metrics=True
        )
        configuration.add_event_destination(
            "Events", destination=ses.EventDestination.sns_topic(self.topic), events=list(PUBLISHED)
        )
        identity = ses.EmailIdentity(
            self, "Identity", identity=ses.Identity.domain(domain), configuration_set=configuration
        )
        for number, record in enumerate(identity.dkim_records, 1):
            CfnOutput(scope, f"Dkim{number}", value=f"{record.name} CNAME {record.value}")
        CfnOutput(scope, "SesTopic", value=self.topic.topic_arn)
