"""The session that ``cascade init`` writes: the quickstart, with words on what to change."""

STARTER = """\
# A first training session. It needs no server and no account: the model, the embeddings and Redis
# come with the package and are started for the time of a command.
#
#     cascade validate {file}    what is wrong with it, if anything
#     cascade plan {file}        what a run would take
#     cascade run {file}         train; writes into .cascade/ beside where you are
#
# It trains the four default agents, each a prompt of its own, on ten real requests. With a model of
# 135 million parameters and so few records it shows the machinery, not good prompts.
apiVersion: cascade-operator.dev/v1alpha1
kind: TrainingSession
metadata:
  name: {name}
spec:
  # The traces: runs of your agents, with the output that a person found right.
  # Your own: replace the three lines by `file: traces.jsonl`, a path beside this file.
  # `cascade traces --help` says what stands in it.
  traces:
    import: bfcl            # real requests from the Berkeley Function Calling Leaderboard
    maxRecords: 10
    maxPromptChars: 1300

  # The agents: left out here, which means the four default ones. Your own are written as tiers of
  # nodes, each with the fields it reads and writes:
  #
  # cascade:
  #   tiers:
  #     - name: read
  #       code: 0
  #       nodes:
  #         - name: classify
  #           signature: 'ticket -> category: Literal["delivery", "payment"]'
  #           instructions: Say what the ticket is about.

  models:
    task:                   # the model that answers; without an endpoint, the embedded one
      maxTokens: 200        # of one answer, at most
      # Your own server, an Ollama or any that speaks OpenAI's protocol:
      # provider: Ollama
      # endpoint: http://localhost:11434
      # model: qwen3:4b
    reduction:
      method: PCA           # how stored vectors are shortened

  optimizer:
    candidates: 2           # prompts a node may run with; the declared one is the first
    trials: 16              # combinations that each group of nodes tries, at most
    maxBootstrappedDemonstrations: 1
    maxLabeledDemonstrations: 1
  convergence:
    patience: 16            # combinations without a better one, after which a search ends
  parallelism: 2            # groups that are trained at once

  # budget:                 # a run ends with what it has when one of these is used up
  #   maxDuration: 2h
  #   maxModelCalls: 1000
"""
"""``{file}`` and ``{name}`` are filled in."""
