"""Makes MongoDB queries of filters. A query finds every user who matches, and may find more: `matches` decides.

A node whose query could miss a user is left out: negations, and topics, which are not stored with users. MongoDB finds
more than `matches` where an attribute is a list, because its paths lead through lists, and different elements may meet
the two bounds of a prefix.
"""

from typing import Any

from hub.audience.filters.evaluation import fulfills
from hub.audience.filters.nodes import And, Compare, Exists, Field, FieldName, In, Node, Not, Or, StartsWith
from hub.model import Tenant

Query = dict[str, Any]

STORED_NAMES = {
    FieldName.ID: "_id",
    FieldName.NAME: "name",
    FieldName.EMAIL: "email_lower",
    FieldName.PHONE: "phone",
    FieldName.LOCALE: "locale",
    FieldName.TIMEZONE: "timezone",
    FieldName.CREATED_AT: "created_at",
}
NOT_CONVERTED: list[Query] = [{"search_version": None}, {"attributes": {"$type": "string"}}]
"""Users whose stored fields are those of another version: `matches` also decides about them."""
LAST_CHARACTER = "\U0010ffff"
SURROGATES = range(0xD800, 0xE000)


def mongo_query(node: Node, tenant: Tenant) -> Query:
    """Return a query that finds all users of a tenant who match. It is empty if every user may match."""
    query = _query(node, tenant)
    return {"$or": [query, *NOT_CONVERTED]} if query else {}


def _query(node: Node, tenant: Tenant) -> Query | None:
    """Return the query of a node, or None if every user may match."""
    match node:
        case And(nodes):
            queries = [query for part in nodes if (query := _query(part, tenant))]
            return {"$and": queries} if queries else None
        case Or(nodes):
            alternatives = [_query(part, tenant) for part in nodes]
            return {"$or": alternatives} if all(alternatives) else None
        case Not():
            return None
        case Exists(field):
            name = _stored_name(field)
            always = {FieldName.LOCALE, FieldName.TIMEZONE}
            return {name: {"$exists": True}} if name and field.name not in always else None
        case In() | Compare() | StartsWith():
            return _leaf_query(node, tenant)


def _leaf_query(node: In | Compare | StartsWith, tenant: Tenant) -> Query | None:
    name = _stored_name(node.field)
    if name is None:
        return None
    key = f"{tenant.id}/" if node.field.name is FieldName.ID else ""
    query = {name: _condition(node, key)}
    defaults = {FieldName.LOCALE: tenant.locale, FieldName.TIMEZONE: tenant.timezone}
    default = defaults.get(node.field.name)
    if default is not None and fulfills(node, default):
        return {"$or": [query, {name: {"$in": [None, ""]}}]}
    return query


def _condition(node: In | Compare | StartsWith, key: str) -> Query:
    """Return the condition for the stored value. `key` precedes the stored value."""
    match node:
        case In(_, values):
            return {"$in": [f"{key}{value}" if key else value for _, value in values]}
        case Compare(_, comparison, bound):
            return {f"${comparison}": f"{key}{bound}" if key else bound}
        case StartsWith(_, prefix):
            return _range(key + prefix)


def _range(prefix: str) -> Query:
    """Return the range of the texts with a prefix. MongoDB compares texts by code point, as Python does."""
    if not (stem := prefix.rstrip(LAST_CHARACTER)):
        return {"$gte": prefix}
    following = ord(stem[-1]) + 1
    end = stem[:-1] + chr(SURROGATES.stop if following in SURROGATES else following)
    return {"$gte": prefix, "$lt": end}


def _stored_name(field: Field) -> str | None:
    """Return the name of a field in the documents of users, or None for topics."""
    return ".".join((field.name, *field.path)) if field.path else STORED_NAMES.get(field.name)
