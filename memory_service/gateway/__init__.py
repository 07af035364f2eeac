"""Chat completions with memory: an OpenAI-compatible route in front of the upstream.

Imports: the packages up to `identity`.
Start reading: `chat_completions`.

A request passes these stages; each takes the value of the stage before and returns a frozen one:

========== ================== ======================= =============================================
stage      module             value                   what it has of the client's messages
========== ================== ======================= =============================================
parsed     `request`          `ChatRequest`           `messages` as sent; `history` without those
                                                      of the system
located    `locating`         `LocatedRequest`        `new_messages`: the part of the history that
                                                      is not stored (`history_alignment`)
stored     `storing`,         `StoredRequest`,        `input_turns`: the turns that the model is
           `read_only`        `ReadOnlyRequest`, …    asked to answer
prompted   `upstream_prompts` `UpstreamPrompt`        `messages` as forwarded
asked      `attempts`         `Exchange`              the upstream's answer to one of two prompts
relayed    `relay`            `AnswerRelay`           the answer, passed on as it arrives
answered   `answers`,         `AnswerCollector`       the messages of the answer, stored as turns
           `storing`                                  below the last input turn
========== ================== ======================= =============================================
"""
