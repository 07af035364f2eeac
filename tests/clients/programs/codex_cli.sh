# dependencies: @openai/codex@0.171
# Codex CLI, which uses the Responses API; each run is a session of the same user. The model server
# has only chat completions and cannot run Codex's web search or groups of tools.
set -euo pipefail

ask() {
    ./node_modules/.bin/codex exec --skip-git-repo-check --sandbox read-only \
        --disable multi_agent -c web_search=disabled \
        -c model=m -c model_provider=memory \
        -c "model_providers.memory={name=\"memory\", base_url=\"$CLIENT_ADDRESS/u/$CLIENT_USER/v1\", wire_api=\"responses\", env_key=\"OPENAI_API_KEY\"}" \
        -o answer.txt "$1" </dev/null >&2
}

ask "My locker at the gym is number 8314."
ask "Which locker is mine?"
node -e 'console.log(JSON.stringify({ remembers: require("fs").readFileSync("answer.txt", "utf8") }))'
