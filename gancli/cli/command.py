"""Commands as typer makes them, with plain usage lines and hints for words that are out of place."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from gancli.errors import GancliError, nearest


def command_hint(near: str, context: Any) -> str:
    """Returns a hint that ends with where help is to be found."""
    return f"{near} type `{context.command_path if context else 'gancli'} --help`".strip()


class Command(TyperCommand):
    """A command whose usage line names its arguments plainly, and whose unexpected arguments get a hint."""

    allow_extra_args = True  # so that parse_args sees them

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Returns the words that are left, which are none.

        Raises:
            GancliError: there are some.
        """
        left = super().parse_args(ctx, args)
        if left and not ctx.resilient_parsing:
            takes_data = any("--data" in parameter.opts for parameter in self.params)
            near = f"did you mean --data {left[0]}?" if takes_data else ""
            raise GancliError(f"unexpected argument {left[0]!r}", command_hint(near, ctx))
        return left

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Returns the words of the usage line after the command: ``[OPTIONS] MODEL [IMAGE]...``."""
        arguments = [parameter for parameter in self.get_params(ctx) if parameter.param_type_name == "argument"]
        names = [(argument, metavar(argument)) for argument in arguments]
        return ["[OPTIONS]"] + [
            (name if argument.required else f"[{name}]") + ("..." if argument.nargs == -1 else "")
            for argument, name in names
        ]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the tables of arguments and options."""
        rows: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                kind = parameter.param_type_name
                rows[kind].append((metavar(parameter), record[1]) if kind == "argument" else record)
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            if rows[kind]:
                with formatter.section(title):
                    formatter.write_dl(rows[kind])


def metavar(argument: Any) -> str:
    """Returns the name of an argument in usage lines."""
    return str(argument.metavar or argument.name.upper())


class Commands(TyperGroup):
    """The group of all commands; an unknown one is answered with the nearest."""

    def get_params(self, ctx: Any) -> Any:
        """Returns the options before the command, which are all flags."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            # typer takes a bool as it is; for None it imports pydantic, and a help page takes twice as long.
            if parameter.default is None:
                parameter.default = False
        return parameters

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command that ``args`` begins with.

        Raises:
            GancliError: there is none of this name.
        """
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise GancliError(f"there is no command {args[0]!r}", command_hint(nearest(args[0], self.commands), ctx))
        return super().resolve_command(ctx, args)
