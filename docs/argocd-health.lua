-- The health of a TrainingSession (cascade-operator.dev) for Argo CD.
--
-- It follows kstatus: being deleted, then observedGeneration, then the conditions Reconciling and
-- Stalled, which are there only while they are true, then Ready. Ready is true while a run trains,
-- as a running Job is current: a training that takes a day holds up no sync. Suspended is Argo CD's
-- own state, which kstatus does not have. It needs none of Lua's libraries.

local function health(status, message)
  return { status = status, message = message or "" }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "The session is being deleted")
end

local status = obj.status or {}
-- The API server begins every status with observedGeneration -1: not seen by an operator yet.
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "The operator has not seen this generation yet")
end

local found = {}
if type(status.conditions) == "table" then
  for _, condition in ipairs(status.conditions) do
    found[condition.type] = condition
  end
end

local function holds(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end

if holds("Reconciling") then
  return health("Progressing", found.Reconciling.message)
end
if holds("Stalled") then
  return health("Degraded", found.Stalled.message)
end
if holds("Suspended") then
  return health("Suspended", found.Suspended.message)
end
if holds("Ready") then
  return health("Healthy", found.Ready.message)
end
return health("Progressing", found.Ready ~= nil and found.Ready.message or "")
