"""Where every process of ours joins a ROS graph: what hinders it is one line, before anything waits
for ever.
"""

from __future__ import annotations

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from xlvla import environment
from xlvla.errors import RigError, XlvlaError
from xlvla.shared_memory import refuse_unfinished_ports


def join(context: Context | None = None, domain: int | None = None) -> None:
    """Initialises rclpy, without signal handlers.

    Args:
        context: what to initialise; None: the default context.
        domain: ROS domain; None keeps the environment's.

    Raises:
        XlvlaError: this machine or this shell does not let a node run; the line says what to do.
    """
    faults = environment.faults()
    if faults:
        raise RigError(faults)
    if environment.shares_memory():
        refuse_unfinished_ports(environment.domain() if domain is None else domain)
    try:
        rclpy.init(
            context=context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO
        )
    except RuntimeError as error:  # what rclpy raises for all that its C libraries refuse
        raise XlvlaError(f"ROS does not start: {_first_words(error)}") from None


def node_without_services(name: str, context: Context | None = None, namespace: str = "") -> Node:
    """A node that is not spun: it offers no services, since a client would wait for them without
    end. It does not take the name that its process was given for another node.
    """
    no_type_service = Parameter("start_type_description_service", value=False)
    try:
        return rclpy.create_node(
            name,
            context=context,
            namespace=namespace,
            start_parameter_services=False,
            use_global_arguments=False,
            parameter_overrides=[no_type_service],
        )
    except RuntimeError as error:
        raise no_node(error) from None


def node_of_its_own(name: str, domain: int | None = None, namespace: str = "") -> Node:
    """A node that is not spun, in a context of its own; `leave` ends both.

    Args:
        domain: ROS domain; None keeps the environment's.
        namespace: where the node stands; '' is `/`.
    """
    context = Context()
    join(context, domain)
    return node_without_services(name, context, namespace)


def leave(node: Node) -> None:
    """Takes a node and its process out of the graph, and their files out of shared memory."""
    node.destroy_node()
    rclpy.shutdown(context=node.context)


def no_node(error: RuntimeError) -> XlvlaError:
    """Why rclpy makes no node."""
    return XlvlaError(f"ROS makes no node here: {_first_words(error)}")


def _first_words(error: RuntimeError) -> str:
    """What an error of rclpy says, without where in its C sources it arose."""
    return str(error).split(", at ")[0].strip() or type(error).__name__
