"""The rules of AWS WAF for the load balancer.

Rules of AWS that look for attacks in bodies would reject notifications: they reject bodies of more than 8 KB, HTML, and
links to addresses. They only count, and a rule of our own blocks what they found, except on paths whose bodies the hub
stores as data.
"""

from collections.abc import Sequence
from typing import Any

from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from infra.aws.names import BODY_RULES, DATA_PATHS, TOO_LARGE

_web_acl = wafv2.CfnWebACL
Statement = wafv2.CfnWebACL.StatementProperty


def firewall(scope: Construct, balancer: elbv2.ApplicationLoadBalancer, rate: int) -> wafv2.CfnWebACL:
    """Return a web ACL that protects the load balancer. `rate`: requests from one address in five minutes."""
    rules = [
        _block("too-large", _too_large()),
        _block(
            "rate",
            Statement(rate_based_statement=_web_acl.RateBasedStatementProperty(limit=rate, aggregate_key_type="IP")),
        ),
        _managed("AWSManagedRulesAmazonIpReputationList"),
        _managed("AWSManagedRulesKnownBadInputsRuleSet"),
        _managed("AWSManagedRulesCommonRuleSet", counted=list(BODY_RULES)),
        _block("found-in-body", _found_elsewhere()),
    ]
    for priority, rule in enumerate(rules):
        rule["priority"] = priority
    acl = wafv2.CfnWebACL(
        scope,
        "Firewall",
        scope="REGIONAL",
        default_action=_web_acl.DefaultActionProperty(allow={}),
        visibility_config=_visibility("notification-hub"),
        rules=[_web_acl.RuleProperty(**rule) for rule in rules],
    )
    wafv2.CfnWebACLAssociation(
        scope, "FirewallOfBalancer", resource_arn=balancer.load_balancer_arn, web_acl_arn=acl.attr_arn
    )
    return acl


def _block(name: str, statement: wafv2.CfnWebACL.StatementProperty) -> dict[str, Any]:
    return {
        "name": name,
        "statement": statement,
        "action": _web_acl.RuleActionProperty(block={}),
        "visibility_config": _visibility(name),
    }


def _managed(name: str, counted: Sequence[str] = ()) -> dict[str, Any]:
    count = _web_acl.RuleActionProperty(count={})
    group = _web_acl.ManagedRuleGroupStatementProperty(
        vendor_name="AWS",
        name=name,
        rule_action_overrides=[_web_acl.RuleActionOverrideProperty(name=rule, action_to_use=count) for rule in counted]
        or None,
    )
    return {
        "name": name,
        "statement": Statement(managed_rule_group_statement=group),
        "override_action": _web_acl.OverrideActionProperty(none={}),
        "visibility_config": _visibility(name),
    }


def _too_large() -> wafv2.CfnWebACL.StatementProperty:
    """Return a statement about the length that the request declares, because WAF inspects only 8 KB of a body behind a
    load balancer. The hub limits bodies without a declared length."""
    return Statement(
        regex_match_statement=_web_acl.RegexMatchStatementProperty(
            regex_string=TOO_LARGE,
            field_to_match=_web_acl.FieldToMatchProperty(single_header={"Name": "content-length"}),
            text_transformations=_unchanged(),
        )
    )


def _found_elsewhere() -> wafv2.CfnWebACL.StatementProperty:
    found = [
        Statement(
            label_match_statement=_web_acl.LabelMatchStatementProperty(
                scope="LABEL", key=f"awswaf:managed:aws:core-rule-set:{label}"
            )
        )
        for label in BODY_RULES.values()
    ]
    data = [
        Statement(
            byte_match_statement=_web_acl.ByteMatchStatementProperty(
                field_to_match=_web_acl.FieldToMatchProperty(uri_path={}),
                positional_constraint="STARTS_WITH" if path.endswith("/") else "EXACTLY",
                search_string=path,
                text_transformations=_unchanged(),
            )
        )
        for path in DATA_PATHS
    ]
    elsewhere = Statement(not_statement=_web_acl.NotStatementProperty(statement=_any(data)))
    return Statement(and_statement=_web_acl.AndStatementProperty(statements=[_any(found), elsewhere]))


def _any(statements: list[wafv2.CfnWebACL.StatementProperty]) -> wafv2.CfnWebACL.StatementProperty:
    return Statement(or_statement=_web_acl.OrStatementProperty(statements=statements))


def _unchanged() -> list[wafv2.CfnWebACL.TextTransformationProperty]:
    return [_web_acl.TextTransformationProperty(priority=0, type="NONE")]


def _visibility(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return _web_acl.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
