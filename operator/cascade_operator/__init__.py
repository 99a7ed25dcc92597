"""The cascade operator: trains cascades of LLM agents on Kubernetes or on one machine."""
