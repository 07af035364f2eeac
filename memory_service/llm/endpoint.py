"""Endpoints: the URL of a request to a model server, and the header that carries its key.

A base URL may have a query, which is sent with every request. Azure has two forms of paths:
`…/openai/v1/chat/completions`, which needs no version, and for versions by date
`…/openai/deployments/{model}/chat/completions?api-version=…`.
https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote_plus, urlencode, urlsplit

from memory_service.llm.openai_client import address_of

AUTHORIZATION = "authorization"
AZURE_KEY = "api-key"

_AZURE_HOSTS = (
    *(".openai.azure.com", ".openai.azure.us", ".openai.azure.cn"),
    *(".cognitiveservices.azure.com", ".services.ai.azure.com", ".azure-api.net"),
)
_OF_A_DEPLOYMENT = ("/chat/completions", "/completions", "/embeddings", "/audio/", "/images/")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an upstream is. `root` is its base URL without query and without a final slash.

    With `has_deployments`, the model is a part of the path. `setting` is where it is configured.
    """

    name: str
    root: str
    setting: str
    query: str = ""
    key_header: str = AUTHORIZATION
    has_deployments: bool = False

    def url(self, path: str, *, model: str | None = None, query: str = "") -> str:
        """Return the URL of a path; what the settings say takes precedence in the query."""
        merged = self._merged(query)
        return self.base_of(path, model) + path + (f"?{merged}" if merged else "")

    def base_of(self, path: str, model: str | None) -> str:
        """Return what precedes a path: the root, or the deployment of a model."""
        if self.has_deployments and model and path.startswith(_OF_A_DEPLOYMENT):
            return f"{self.root}/deployments/{quote(model, safe='')}"
        return self.root

    def key_headers(self, authorization: str) -> dict[str, str]:
        """Return the headers for the value of an Authorization header.

        Azure takes keys in another header than tokens of its own accounts (JSON Web Tokens).
        """
        scheme, _, key = authorization.strip().partition(" ")
        is_token = self.key_header == AZURE_KEY and key.startswith("eyJ") and key.count(".") == 2
        if self.key_header == AUTHORIZATION or scheme.lower() != "bearer" or is_token:
            return {AUTHORIZATION: authorization}
        return {self.key_header: key.strip()}

    def _merged(self, query: str) -> str:
        names = {_parameter(pair) for pair in self.query.split("&")}
        others = [pair for pair in query.split("&") if pair and _parameter(pair) not in names]
        return "&".join([self.query, *others] if self.query else others)


def endpoint_of(
    base_url: str,
    *,
    setting: str,
    name: str | None = None,
    api_version: str | None = None,
    key_header: str | None = None,
) -> Endpoint:
    """Return the endpoint of a base URL; raises StartupError, which names the setting."""
    address = address_of(base_url, setting)
    parts = urlsplit(base_url)
    query = parts.query
    if api_version is not None:
        others = [pair for pair in query.split("&") if pair and _parameter(pair) != "api-version"]
        query = "&".join([*others, urlencode({"api-version": api_version})])
    path = parts.path.rstrip("/")
    plain_name = f"{address}{path}"
    is_azure = (parts.hostname or "").endswith(_AZURE_HOSTS)
    has_deployments = is_azure and path in {"", "/openai"} and "api-version=" in query
    if is_azure and path in {"", "/openai"}:
        path = "/openai" if has_deployments else "/openai/v1"
    return Endpoint(
        name=name or plain_name,
        root=f"{parts.scheme}://{parts.netloc}{path}",
        setting=setting,
        query=query,
        key_header=(key_header or (AZURE_KEY if is_azure else AUTHORIZATION)).lower(),
        has_deployments=has_deployments,
    )


def _parameter(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])
