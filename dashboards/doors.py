"""The last part of Flow: who asks for tokens, the HTTP listeners, and certificates."""

from board import bars, heading, lines, query
from promql import increase, rate

DOORS = [
    heading(105, "Doors: tokens, HTTP and certificates"),
    lines(
        15,
        "Tokens checked",
        "Signatures of tokens per second that were checked, and those that were known from before. A fleet that reconnects with the tokens "
        "that it has costs no check.",
        [query(rate("auth_signature_checks_total"), "checked"), query(rate("auth_cache_hits_total"), "known")],
        "ops",
        least=0,
    ),
    lines(
        16,
        "Failed logins that had to wait",
        "Failed logins and token requests per second whose answer came later on purpose, because too many failed from one address or under "
        "one name. What is good comes in at once.",
        [query(rate("auth_paused_total", "by"), "by {{by}}")],
        "ops",
        least=0,
    ),
    lines(
        34,
        "Token requests, by result",
        "Answers of the token endpoint per second. invalid_client is a wrong secret, a disabled device, or somebody who guesses.",
        [query(rate("auth_tokens_total", "result"), "{{result}}")],
        "reqps",
        least=0,
    ),
    lines(
        35,
        "Answers of the public listener",
        "HTTP answers per second by class of status: 4xx is what clients did wrong, 5xx a database that is away or a bound.",
        [query(rate("public_answers_total", "class"), "{{class}}")],
        "reqps",
        least=0,
    ),
    lines(
        36,
        "HTTP connections that got no page",
        "Connections of the public and the admin listener per second that got no page, by why.",
        [
            query(rate("public_refused_total", "cause"), "public: {{cause}}"),
            query(rate("admin_refused_total", "cause"), "admin: {{cause}}"),
        ],
        "cps",
        least=0,
    ),
    bars(
        37,
        "Certificates exchanged",
        "Certificate files that have changed, by whether the new ones are in use. After a failure the old certificate is still used, until "
        "it expires.",
        [query(increase("tls_reloads_total", "result"), "{{result}}")],
        "short",
        least=0,
        decimals=0,
    ),
]
